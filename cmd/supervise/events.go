package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// eventsCommand prints what happened.
type eventsCommand struct {
	target
	follow bool
	since  uint64
}

func (c *eventsCommand) About() about {
	return about{
		name:    "events",
		summary: "print what happened in the tree",
		details: "A line a record, oldest first. Only the newest records are kept: if some that were asked for are gone, a line says which. " +
			"With -json each line is an object with seq, time, event and path, and what belongs to the event.",
	}
}

// Flags declares which records are wanted.
func (c *eventsCommand) Flags(f *flags) {
	f.BoolVar(&c.follow, "follow", "go on with what happens, until the tree ends")
	f.UintVar(&c.since, "since", "N", "only the records after number N")
}

// Run prints the records as they come.
func (c *eventsCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if err := noWords("events", words); err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	return client.Events(ctx, c.since, c.follow, func(line []byte) error {
		if c.json {
			_, err := io.out.Write(append(line, '\n'))
			return err
		}
		var r journal.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("reading a record: %w", err)
		}
		_, err := fmt.Fprintln(io.out, recordLine(io, &r))
		return err
	})
}

// recordLine is a record for people.
func recordLine(io *stdio, r *journal.Record) string {
	if r.Event == journal.Lost {
		return fmt.Sprintf("--- the records %d to %d are not kept any more ---", r.From, r.To)
	}
	path := io.paint(output.Colour(r.Path), r.Path)
	line := fmt.Sprintf("%s  %-11s  %s", r.Time.Local().Format("15:04:05.000"), r.Event, path)
	if said := recordDetails(r); len(said) > 0 {
		line += "  " + strings.Join(said, ", ")
	}
	return line
}

// recordDetails is what a record says beside its event and path.
func recordDetails(r *journal.Record) (said []string) {
	say := func(wanted bool, format string, args ...any) {
		if wanted {
			said = append(said, fmt.Sprintf(format, args...))
		}
	}
	say(r.Event == journal.Add && r.Kind != "", "%s", r.Kind)
	say(r.Strategy != "", "%s", r.Strategy)
	say(r.Restart != "", "%s", r.Restart)
	say(r.Pid != 0, "pid %d", r.Pid)
	say(r.Incarnation > 1, "incarnation %d", r.Incarnation)
	say(r.Context != "", "%s", r.Context)
	say(r.Child != "", "of %s", r.Child)
	say(r.Reason != "", "%s", r.Reason)
	say(r.Status != nil && r.Signal == "", "status %d", deref(r.Status))
	say(r.Signal != "", "signal %s", r.Signal)
	say(r.Delay != nil, "next try in %s", journal.Span(time.Duration(deref(r.Delay)*float64(time.Second))))
	say(r.Intensity != nil && r.Period != 0, "at most %d restarts in %d s", deref(r.Intensity), r.Period)
	say(r.Restarts != 0, "restart %d of the period", r.Restarts)
	say(len(r.Pids) > 0, "pids %v", r.Pids)
	say(r.Error != "", "%s", r.Error)
	say(r.Message != "", "%s", r.Message)
	return said
}

// deref is what a pointer points to; the zero value if it does not.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
