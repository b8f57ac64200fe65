// Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../../README.md.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"paceline.example/subscriber"
)

func main() {
	state, ctx := setting("STATE", "."), context.Background()
	frames := subscriber.Frames{Registry: os.Getenv("REGISTRY"), Schemas: setting("SCHEMAS", "schemas")}
	platform := subscriber.FilePlatform(filepath.Join(state, "platform.json")) // yours: Read(target, what), Write(target, what, value)
	// Keeps the rule: state, sequence, expiry, requires, expected previous value; its memory survives a crash.
	rule := must(subscriber.NewSubscriber(platform, filepath.Join(state, "memory.json")))
	client := must(kgo.NewClient(kgo.SeedBrokers(strings.Split(setting("BROKERS", "127.0.0.1:9092"), ",")...),
		kgo.ConsumerGroup(setting("GROUP", "ad-buyer")), kgo.ConsumeTopics(setting("ADJUSTMENTS", "ads.adjustments")),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
	answer := func(acks []subscriber.Ack) {
		for _, ack := range acks {
			record := &kgo.Record{Topic: setting("FEEDBACK", "ads.feedback"), Key: []byte(ack.CampaignID), Value: must(json.Marshal(ack))}
			must(client.ProduceSync(ctx, record).First())
			fmt.Println(ack.CampaignID, ack.Sequence, ack.Result)
		}
	}
	for {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(wait)
		cancel()
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			log.Fatal(err)
		}
		for _, record := range fetches.Records() {
			answer(must(rule.Handle(must(frames.Decode(record.Value)), time.Now().UnixMilli())))
			must(0, client.CommitRecords(ctx, record)) // only now: after a crash the command comes again, and is known
		}
		answer(must(rule.Tick(time.Now().UnixMilli())))
	}
}

func setting(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

// must ends the process on an error: the next one goes on where the answers stop.
func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
