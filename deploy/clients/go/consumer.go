package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// consume applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../README.md.
func consume() {
	state, ctx := setting("STATE", "."), context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(setting("BROKERS", "127.0.0.1:9092"), ",")...),
		kgo.ConsumerGroup(setting("GROUP", "ad-buyer")), kgo.ConsumeTopics(setting("ADJUSTMENTS", "ads.adjustments")),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	subscriber, err := NewSubscriber(file(filepath.Join(state, "platform.json")), filepath.Join(state, "memory.json"))
	check(err)
	answer := func(acks []Ack, err error) {
		check(err)
		for _, ack := range acks {
			value, err := json.Marshal(ack)
			check(err)
			record := &kgo.Record{Topic: setting("FEEDBACK", "ads.feedback"), Key: []byte(ack.CampaignID), Value: value}
			check(client.ProduceSync(ctx, record).FirstErr())
			fmt.Println(ack.CampaignID, ack.Sequence, ack.Result)
		}
	}
	for {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(wait)
		cancel()
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.DeadlineExceeded) {
				check(failed.Err)
			}
		}
		for _, record := range fetches.Records() {
			command, err := decode(record.Value)
			check(err)
			answer(subscriber.Handle(command, time.Now().UnixMilli()))
			check(client.CommitRecords(ctx, record)) // only now: after a crash the command comes again, and is known
		}
		answer(subscriber.Tick(time.Now().UnixMilli()))
	}
}
