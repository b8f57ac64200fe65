// The subscriber under `paceline conformance`: JSON lines instead of Kafka and of an ad platform.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"paceline.example/subscriber"
)

// kit plays the platform.
type kit struct {
	lines *bufio.Reader
}
type heard struct {
	Now     int64               `json:"now"`
	Command *subscriber.Command `json:"command"`
	Value   json.RawMessage     `json:"value"`
}

func (k kit) hear() (h heard, err error) {
	line, err := k.lines.ReadBytes('\n')
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(line, &h)
}

func (k kit) Read(target subscriber.Target, what string) (string, error) {
	say(map[string]any{"type": "read", "target": target, "what": what})
	h, err := k.hear()
	return string(h.Value), err
}

func (k kit) Write(target subscriber.Target, what, value string) error {
	say(map[string]any{"type": "write", "target": target, "what": what, "value": json.RawMessage(value)})
	_, err := k.hear()
	return err
}

func say(message any) { check(json.NewEncoder(os.Stdout).Encode(message)) }

func main() {
	k := kit{bufio.NewReader(os.Stdin)}
	s, err := subscriber.NewSubscriber(k, filepath.Join(os.Getenv("PACELINE_CONFORMANCE_STATE"), "memory.json"))
	check(err)
	for h, err := k.hear(); err == nil; h, err = k.hear() { // ends with its input
		var acks []subscriber.Ack
		if h.Command != nil {
			acks, err = s.Handle(*h.Command, h.Now)
		} else {
			acks, err = s.Tick(h.Now)
		}
		check(err)
		for _, ack := range acks {
			ack.Type = "ack"
			say(ack)
		}
		say(map[string]string{"type": "done"})
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
