package main

import (
	"fmt"
	"os"
)

// Without a word: the consumer. With `adapter`: the subscriber under `paceline conformance`.
func main() {
	if len(os.Args) > 1 && os.Args[1] == "adapter" {
		adapter()
		return
	}
	consume()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
