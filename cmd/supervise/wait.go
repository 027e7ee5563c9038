package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/control"
)

var waitGoals = []string{control.ForUp, control.ForReady, control.ForDown}

// waitCommand waits for a state.
type waitCommand struct {
	target
	goal    string
	timeout time.Duration
}

func (c *waitCommand) About() about {
	return about{
		name:    "wait",
		args:    "PATH",
		summary: "wait until a child is up, ready or down",
		details: "up: its process exists. ready: it is running, as its readiness says. down: it has no process, and none will be tried; " +
			"when the tree ends, all of it is down. With -timeout, status 124 says that the time ran out.",
	}
}

// Flags declares what is waited for, and how long.
func (c *waitCommand) Flags(f *flags) {
	f.StringVar(&c.goal, "for", strings.Join(waitGoals, "|"), "what to wait for")
	f.DurationVar(&c.timeout, "timeout", "how long; 0: without limit")
}

// Run waits.
func (c *waitCommand) Run(ctx context.Context, io *stdio, words []string) error {
	path, err := onePath("wait", words)
	if err != nil {
		return err
	}
	if !slices.Contains(waitGoals, c.goal) {
		return usage("wait", "-for %q is none of %s%s", c.goal, strings.Join(waitGoals, ", "), didYouMean(c.goal, waitGoals))
	}
	query := url.Values{"for": {c.goal}}
	if err := addTimeout("wait", query, c.timeout); err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	var answer control.Answer
	if err := client.Get(ctx, "wait", path, query, &answer); err != nil {
		return fmt.Errorf("waiting for %s to be %s: %w", path, c.goal, err)
	}
	if c.json {
		return printJSON(io, answer)
	}
	return nil
}

// addTimeout puts a timeout into a query; 0 is none.
func addTimeout(command string, query url.Values, timeout time.Duration) error {
	if timeout < 0 {
		return usage(command, "-timeout %v is negative", timeout)
	}
	if timeout > 0 {
		query.Set("timeout", timeout.String())
	}
	return nil
}
