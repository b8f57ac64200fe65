package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
)

// Kit is the other side of `paceline conformance`: JSON lines instead of Kafka and of an ad platform.
type kit struct {
	lines *bufio.Reader
}
type heard struct {
	Now     int64           `json:"now"`
	Command *Command        `json:"command"`
	Value   json.RawMessage `json:"value"`
}

func (k kit) hear() (h heard, err error) {
	line, err := k.lines.ReadBytes('\n')
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(line, &h)
}

func (k kit) Read(target Target, what string) (string, error) {
	say(map[string]any{"type": "read", "target": target, "what": what})
	h, err := k.hear()
	return string(h.Value), err
}

func (k kit) Write(target Target, what, value string) error {
	say(map[string]any{"type": "write", "target": target, "what": what, "value": json.RawMessage(value)})
	_, err := k.hear()
	return err
}

func say(message any) { check(json.NewEncoder(os.Stdout).Encode(message)) }

func adapter() {
	k := kit{bufio.NewReader(os.Stdin)}
	s, err := NewSubscriber(k, filepath.Join(os.Getenv("PACELINE_CONFORMANCE_STATE"), "memory.json"))
	check(err)
	for h, err := k.hear(); err == nil; h, err = k.hear() { // ends with its input
		var acks []Ack
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
