package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hamba/avro/v2"
)

const fixedID = 16 // of Adjustment in schemas/index.toml

var writers = map[int]avro.Schema{}

// decode reads a Confluent frame: 0, the schema's id in four bytes, the record.
func decode(payload []byte) (c Command, err error) {
	if len(payload) < 5 || payload[0] != 0 {
		return c, errors.New("no Confluent frame")
	}
	id := int(payload[1])<<24 | int(payload[2])<<16 | int(payload[3])<<8 | int(payload[4])
	if writers[id] == nil {
		if writers[id], err = writerOf(id); err != nil {
			return c, err
		}
	}
	return c, avro.Unmarshal(writers[id], payload[5:], &c)
}

// writerOf finds the schema a record was written with: in the registry, or ours under its fixed id.
func writerOf(id int) (avro.Schema, error) {
	registry := os.Getenv("REGISTRY")
	if registry == "" && id != fixedID {
		return nil, fmt.Errorf("schema id %d is not ours, and no REGISTRY is set", id)
	} else if registry == "" {
		text, err := os.ReadFile(filepath.Join(setting("SCHEMAS", "../../../schemas"), "adjustment.avsc"))
		if err != nil {
			return nil, err
		}
		return avro.Parse(string(text))
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(fmt.Sprintf("%s/schemas/ids/%d", registry, id))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var body struct{ Schema string }
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != 200 {
		return nil, fmt.Errorf("the registry says %s to schema id %d: %w", answer.Status, id, err)
	}
	return avro.Parse(body.Schema)
}
