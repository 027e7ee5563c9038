package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/control"
)

var waitGoals = []string{control.ForUp, control.ForReady, control.ForDown}

// treePatience is how long a tree is waited for that does not answer yet, if
// nothing else is said: a script starts one in the background and goes on.
const treePatience = 5 * time.Second

// treeTry is how often such a tree is looked for. There is nothing to be woken
// by: its socket may come in any of several directories, some not there yet.
const treeTry = 20 * time.Millisecond

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
			"when the tree ends, all of it is down. The tree itself is waited for, too, where it is only just being started: " +
			"within -timeout, or else for " + treePatience.String() + ". With -timeout, status 124 says that the time ran out.",
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
	if c.timeout < 0 {
		return usage("wait", "-timeout %v is negative", c.timeout)
	}
	answer, err := c.wait(ctx, io, path)
	if err != nil {
		return fmt.Errorf("waiting for %s to be %s: %w", path, c.goal, err)
	}
	if c.json {
		return printJSON(io, answer)
	}
	return nil
}

// wait waits for the tree to answer, and then for what it is to say.
func (c *waitCommand) wait(ctx context.Context, io *stdio, path string) (answer control.Answer, err error) {
	patience := treePatience
	if c.timeout > 0 {
		patience = c.timeout
	}
	ticker := time.NewTicker(treeTry)
	defer ticker.Stop()
	for began := time.Now(); ; {
		query := url.Values{"for": {c.goal}}
		if c.timeout > 0 {
			query.Set("timeout", max(c.timeout-time.Since(began), 0).String())
		}
		client, err := c.client(io)
		if err == nil {
			err = client.Get(ctx, "wait", path, query, &answer)
		}
		switch {
		case !errors.Is(err, control.ErrNoTree) && !errors.Is(err, control.ErrNone):
			return answer, err
		case time.Since(began) < patience:
		case c.timeout > 0:
			return answer, &control.Refused{Word: control.WordTimeout, Detail: err.Error()}
		default:
			return answer, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
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
