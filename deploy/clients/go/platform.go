package subscriber

import (
	"encoding/json"
	"errors"
	"os"
)

// FilePlatform stands for your ad platform's API: values in the JSON file that it names.
type FilePlatform string

func (f FilePlatform) values() (values map[string]json.RawMessage, err error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) { // before the first write
		return map[string]json.RawMessage{}, nil
	}
	return values, errors.Join(err, json.Unmarshal(text, &values))
}

func (f FilePlatform) Read(target Target, what string) (string, error) {
	values, err := f.values()
	return string(values[target.ID+"/"+what]), err
}

func (f FilePlatform) Write(target Target, what, value string) error {
	values, err := f.values()
	if err != nil {
		return err
	}
	values[target.ID+"/"+what] = json.RawMessage(value)
	text, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return replace(string(f), text)
}
