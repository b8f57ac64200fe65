// Package subscriber is what a subscriber of ads.adjustments needs beside a Kafka client: here the rule.
package subscriber

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

type Target struct {
	Level string `avro:"level" json:"level"`
	ID    string `avro:"id" json:"id"`
}
type Expected struct {
	ValueMicros *int64 `avro:"value_micros" json:"value_micros"`
	Sequence    int64  `avro:"sequence" json:"sequence"`
}
type Fallback struct {
	ValueMicros *int64 `avro:"value_micros" json:"value_micros"`
	When        int64  `avro:"when" json:"when"`
}

// Command holds the fields of an Adjustment that the rule looks at.
type Command struct {
	CommandID  string `avro:"command_id" json:"command_id"`
	AccountID  string `avro:"account_id" json:"account_id"`
	CampaignID string `avro:"campaign_id" json:"campaign_id"`
	Target     Target `avro:"target" json:"target"`
	Kind       string `avro:"kind" json:"kind"`
	Dimension  *struct {
		Name string `avro:"name" json:"name"`
	} `avro:"dimension" json:"dimension"`
	ValueMicros      *int64    `avro:"value_micros" json:"value_micros"`
	ExpectedPrevious Expected  `avro:"expected_previous" json:"expected_previous"`
	Sequence         int64     `avro:"sequence" json:"sequence"`
	Requires         []string  `avro:"requires" json:"requires"`
	State            string    `avro:"state" json:"state"`
	EffectiveFrom    int64     `avro:"effective_from" json:"effective_from"`
	ExpiresAt        int64     `avro:"expires_at" json:"expires_at"`
	Fallback         *Fallback `avro:"fallback" json:"fallback"`
}

// Ack is the answer for ads.feedback, as schemas/ack.avsc has it.
type Ack struct {
	Type             string `json:"type"`
	CommandID        string `json:"command_id"`
	AccountID        string `json:"account_id"`
	CampaignID       string `json:"campaign_id"`
	Sequence         int64  `json:"sequence"`
	Result           string `json:"result"`
	FoundValueMicros *int64 `json:"found_value_micros"`
	FoundAt          *int64 `json:"found_at"`
	AppliedAt        *int64 `json:"applied_at"`
	Actor            string `json:"actor"`
	Reason           string `json:"reason,omitempty"`
	RetryAfter       *int64 `json:"retry_after"`
}

// Platform is the ad platform's API. Values are their JSON text: micros, or "active" and "paused" in quotes.
type Platform interface {
	Read(target Target, what string) (string, error)
	Write(target Target, what, value string) error
}
type answered struct {
	Ack   Ack
	Until int64
}
type lease struct {
	Target               Target
	What, Ours, Fallback string
	When                 int64
}

// Subscriber keeps the rule. Its memory is a file, so that it survives a crash.
type Subscriber struct {
	platform Platform
	file     string
	Last     map[string]int64 // by place: highest sequence applied
	Highest  map[string]int64 // by campaign
	Answers  map[string]answered
	Doing    string
	Waiting  []Command
	Leases   map[string]lease
}

var whatOf = map[string]string{"set_bid": "bid", "set_daily_budget": "daily_budget", "pause": "status", "resume": "status"}

const keptMS = 7 * 86_400_000 // answers are remembered so long after their command expired

func NewSubscriber(platform Platform, file string) (*Subscriber, error) {
	s := &Subscriber{platform: platform, file: file, Last: map[string]int64{}, Highest: map[string]int64{},
		Answers: map[string]answered{}, Leases: map[string]lease{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(text, s)
}

// Handle deals with one command; it returns the answers for ads.feedback, also to commands that waited for it.
func (s *Subscriber) Handle(c Command, now int64) ([]Ack, error) {
	ack, err := s.decide(c, now)
	if err != nil {
		return nil, err
	}
	more, err := s.Tick(now)
	return append([]Ack{ack}, more...), err
}

// Tick lets time pass: ends leases, tries what waits.
func (s *Subscriber) Tick(now int64) (acks []Ack, err error) {
	for key, l := range s.Leases {
		if l.When > now {
			continue
		}
		found, err := s.platform.Read(l.Target, l.What)
		if err == nil && found == l.Ours { // else a person changed it
			err = s.platform.Write(l.Target, l.What, l.Fallback)
		}
		if err != nil {
			return nil, err
		}
		delete(s.Leases, key)
		if err := s.save(now); err != nil {
			return nil, err
		}
	}
	for _, c := range slices.Clone(s.Waiting) {
		ack, err := s.decide(c, now)
		if err != nil {
			return nil, err
		}
		if ack.Result != "deferred" {
			acks = append(acks, ack)
		}
	}
	return acks, nil
}

func (s *Subscriber) decide(c Command, now int64) (Ack, error) {
	if known, ok := s.Answers[c.CommandID]; ok {
		return known.Ack, nil // a copy gets the same answer
	}
	what := whatOf[c.Kind]
	if c.State != "issued" {
		return s.answer(c, now, "rejected", "not_issued", "")
	} else if what == "" || c.Dimension != nil || c.Target.Level != "campaign" {
		return s.answer(c, now, "rejected", "unknown_kind", "")
	}
	key := strings.Join([]string{c.AccountID, c.CampaignID, c.Target.ID, what}, "/")
	if c.Sequence <= s.Last[key] {
		return s.answer(c, now, "superseded", "", "")
	}
	wanted := text(c.ValueMicros)
	if what == "status" {
		wanted = map[string]string{"pause": `"paused"`, "resume": `"active"`}[c.Kind]
	}
	found, err := s.platform.Read(c.Target, what)
	if err != nil {
		return Ack{}, err
	}
	if s.Doing != c.CommandID || found != wanted { // else we crashed after the write: it is applied
		if now >= c.ExpiresAt {
			return s.answer(c, now, "expired", "", "")
		}
		lacks := func(id string) bool { return s.Answers[id].Ack.Result != "applied" }
		if now < c.EffectiveFrom || slices.ContainsFunc(c.Requires, lacks) {
			if !slices.ContainsFunc(s.Waiting, func(other Command) bool { return other.CommandID == c.CommandID }) {
				s.Waiting = append(s.Waiting, c)
			}
			return s.answer(c, now, "deferred", "requires", "")
		}
		expected := c.ExpectedPrevious
		if (expected.ValueMicros != nil && text(expected.ValueMicros) != found) || expected.Sequence > s.Highest[c.CampaignID] {
			return s.answer(c, now, "conflict", "", found)
		}
		s.Doing = c.CommandID
		if err := s.save(now); err != nil { // before the write, so that a crash between the two is understood
			return Ack{}, err
		}
		if err := s.platform.Write(c.Target, what, wanted); err != nil {
			return Ack{}, err
		}
	}
	s.Last[key], s.Highest[c.CampaignID] = c.Sequence, max(c.Sequence, s.Highest[c.CampaignID])
	delete(s.Leases, key)
	if c.Fallback != nil && c.Fallback.ValueMicros != nil {
		s.Leases[key] = lease{c.Target, what, wanted, text(c.Fallback.ValueMicros), c.Fallback.When}
	}
	return s.answer(c, now, "applied", "", "")
}

func (s *Subscriber) answer(c Command, now int64, result, reason, found string) (Ack, error) {
	ack := Ack{Type: "Ack", CommandID: c.CommandID, AccountID: c.AccountID, CampaignID: c.CampaignID, Sequence: c.Sequence,
		Result: result, Reason: reason, FoundAt: &now, Actor: "paceline"}
	if result == "applied" {
		ack.AppliedAt = &now
	}
	if result == "conflict" {
		ack.Actor = "person"
		_ = json.Unmarshal([]byte(found), &ack.FoundValueMicros) // a status is no amount and stays out
	}
	if result != "deferred" {
		s.Answers[c.CommandID] = answered{ack, c.ExpiresAt + keptMS}
		s.Waiting = slices.DeleteFunc(s.Waiting, func(other Command) bool { return other.CommandID == c.CommandID })
	}
	return ack, s.save(now)
}

func (s *Subscriber) save(now int64) error {
	for id, a := range s.Answers {
		if a.Until <= now {
			delete(s.Answers, id)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replace(s.file, text)
}

// replace writes a file so that a crash leaves the old one or the new one.
func replace(file string, text []byte) error {
	f, err := os.Create(file + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func text(micros *int64) string {
	t, _ := json.Marshal(micros) // a number or null always marshals
	return string(t)
}
