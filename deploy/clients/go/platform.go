package main

import (
	"encoding/json"
	"errors"
	"os"
)

// file stands for your ad platform's API: values in a JSON file.
type file string

func (f file) values() (values map[string]json.RawMessage, err error) {
	text, err := os.ReadFile(string(f))
	return values, errors.Join(err, json.Unmarshal(text, &values))
}

func (f file) Read(target Target, what string) (string, error) {
	values, err := f.values()
	return string(values[target.ID+"/"+what]), err
}

func (f file) Write(target Target, what, value string) error {
	values, err := f.values()
	check(err)
	values[target.ID+"/"+what] = json.RawMessage(value)
	text, err := json.Marshal(values)
	check(err)
	return replace(string(f), text)
}
