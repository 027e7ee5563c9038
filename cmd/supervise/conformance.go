package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/conformance"
)

// conformancePatience is how long a check may take where nobody says otherwise.
const conformancePatience = 30 * time.Second

// conformanceCommand checks whether a worker speaks the channel's protocol.
type conformanceCommand struct {
	channel string
	echo    string
	timeout time.Duration
	json    bool
}

func (c *conformanceCommand) About() about {
	return about{
		name:    "conformance",
		args:    "-- COMMAND [ARG...]",
		summary: "check from outside whether a worker speaks the protocol of the channel",
		details: "COMMAND is started anew for every check, and gets what a supervisor would send it: calls, casts, long messages, orders to stop. " +
			"A line a check: ok or FAIL, its name, and why. The status is 0 if all are ok, and 1 if not. No tree is needed.",
	}
}

// Flags declares how the worker is spoken to.
func (c *conformanceCommand) Flags(f *flags) {
	c.channel, c.timeout = "frames", conformancePatience
	f.StringVar(&c.channel, "channel", "frames|lines", "what its channel carries (frames)")
	f.StringVar(&c.echo, "echo", "METHOD", "a method of it that answers with what it is given: long answers are checked, too")
	f.DurationVar(&c.timeout, "timeout", "how long a check may take (30s)")
	f.BoolVar(&c.json, "json", "print JSON")
}

// Run makes the checks.
func (c *conformanceCommand) Run(ctx context.Context, io *stdio, words []string) error {
	switch {
	case len(words) == 0:
		return usage("conformance", "name the worker's COMMAND, after --")
	case c.channel != "frames" && c.channel != "lines":
		return usage("conformance", "a channel carries frames or lines, and not %q", c.channel)
	case c.timeout <= 0:
		return usage("conformance", "a -timeout is longer than 0")
	}
	o := conformance.Options{Command: words, Lines: c.channel == "lines", Echo: c.echo, Patience: c.timeout}
	ok, err := conformance.Run(ctx, o, func(r conformance.Result) error { return c.print(io, r) })
	if err != nil {
		return fmt.Errorf("checking %s: %w", words[0], err)
	}
	if !ok {
		return exit(statusRefused)
	}
	return nil
}

func (c *conformanceCommand) print(io *stdio, r conformance.Result) error {
	if c.json {
		return json.NewEncoder(io.out).Encode(r)
	}
	line := "ok    " + r.Check
	if !r.OK {
		line = fmt.Sprintf("FAIL  %s: %s", r.Check, r.Why)
	}
	if r.Stderr != "" {
		fmt.Fprintf(io.err, "      it said: %s\n", strings.ReplaceAll(r.Stderr, "\n", "\n      "))
	}
	_, err := fmt.Fprintln(io.out, line)
	return err
}
