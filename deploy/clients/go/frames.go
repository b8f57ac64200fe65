package subscriber

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

// Frames reads Confluent frames of ads.adjustments: 0, the schema's id in four bytes, the record.
type Frames struct {
	Registry string // base of a Confluent API; without one the fixed id holds
	Schemas  string // folder of adjustment.avsc
	writers  map[int]avro.Schema
}

// Decode reads one frame.
func (f *Frames) Decode(payload []byte) (c Command, err error) {
	if len(payload) < 5 || payload[0] != 0 {
		return c, errors.New("no Confluent frame")
	}
	id := int(payload[1])<<24 | int(payload[2])<<16 | int(payload[3])<<8 | int(payload[4])
	if f.writers[id] == nil {
		writer, err := f.writerOf(id)
		if err != nil {
			return c, err
		}
		if f.writers == nil {
			f.writers = map[int]avro.Schema{}
		}
		f.writers[id] = writer
	}
	return c, avro.Unmarshal(f.writers[id], payload[5:], &c)
}

// writerOf finds the schema a record was written with: in the registry, or ours under its fixed id.
func (f *Frames) writerOf(id int) (avro.Schema, error) {
	if f.Registry == "" && id != fixedID {
		return nil, fmt.Errorf("schema id %d is not ours, and no registry is set", id)
	} else if f.Registry == "" {
		text, err := os.ReadFile(filepath.Join(f.Schemas, "adjustment.avsc"))
		if err != nil {
			return nil, err
		}
		return avro.Parse(string(text))
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(fmt.Sprintf("%s/schemas/ids/%d", f.Registry, id))
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
