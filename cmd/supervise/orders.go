package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/control"
)

// order is what the commands that change the tree have in common.
type order struct {
	target
	noWait  bool
	timeout time.Duration
}

// Flags declares how long an order is waited for.
func (o *order) Flags(f *flags) {
	f.BoolVar(&o.noWait, "no-wait", "do not wait until it is done")
	f.DurationVar(&o.timeout, "timeout", "how long to wait; 0: without limit. The order stands all the same")
}

// give sends the order and prints what came of it.
func (o *order) give(ctx context.Context, io *stdio, client *control.Client, verb, path string, query url.Values, body any) error {
	if err := addTimeout(verb, query, o.timeout); err != nil {
		return err
	}
	if o.noWait {
		query.Set("no_wait", "1")
	}
	var answer control.Answer
	if err := client.Post(ctx, verb, path, query, body, &answer); err != nil {
		return fmt.Errorf("%s %s: %w", verb, path, err)
	}
	switch {
	case o.json:
		return printJSON(io, answer)
	case o.noWait || verb == "remove" || verb == "signal":
		return nil
	}
	line := fmt.Sprintf("%s is %s", answer.Path, answer.State)
	if answer.Pid != 0 {
		line += fmt.Sprintf(", pid %d", answer.Pid)
	}
	_, err := fmt.Fprintln(io.out, line)
	return err
}

// orderCommand is an order that needs nothing but paths.
type orderCommand struct {
	order
	verb string
}

var orderTexts = map[string]about{
	"start": {
		summary: "start children that are down",
		details: "OTP's restart_child: the child is started where it stands in the order, and this returns when it is up. A child that runs is refused with `running`, one that waits for its next try with `restarting`.",
	},
	"stop": {
		summary: "stop children and leave them down",
		details: "OTP's terminate_child: the stop signal, the shutdown time, then KILL; this returns when nothing of the child is left. The spec stays, and nothing restarts it but start, a restart of its whole group, or a restart of its supervisor.",
	},
	"restart": {
		summary: "stop children and start them again",
		details: "Both as one entry of the supervisor's queue. The supervisor's limit does not count it, and its backoff is set back. A child that is down is started.",
	},
	"remove": {
		summary: "forget children that are down",
		details: "OTP's delete_child: the spec goes, until the tree is started anew. A child that runs is refused with `running`. An instance of a simple_one_for_one supervisor is stopped and forgotten.",
	},
}

func (c *orderCommand) About() about {
	a := orderTexts[c.verb]
	a.name, a.args = c.verb, "PATH..."
	return a
}

// Run gives the order for each path, and goes on after one that is refused.
func (c *orderCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if len(words) == 0 {
		return usage(c.verb, "%s takes a PATH", c.verb)
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	var errs []error
	for _, word := range words {
		errs = append(errs, c.give(ctx, io, client, c.verb, nodePath(word), url.Values{}, nil))
	}
	return errors.Join(errs...)
}

// signalCommand sends a signal.
type signalCommand struct{ order }

func (c *signalCommand) About() about {
	return about{
		name:    "signal",
		args:    "PATH SIGNAL",
		summary: "send a signal to a child's main process",
		details: "SIGNAL is a name, with or without SIG: HUP, SIGUSR1. What the signal does is the child's business: one that ends of it is treated like any other that ends.",
	}
}

// Run sends the signal.
func (c *signalCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if len(words) != 2 {
		return usage("signal", "signal takes a PATH and a SIGNAL")
	}
	number := child.SignalNumber(strings.ToUpper(words[1]))
	if number == 0 {
		return usage("signal", "there is no signal %q", words[1])
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	return c.give(ctx, io, client, "signal", nodePath(words[0]), url.Values{"signal": {child.SignalName(number)}}, nil)
}

// shutdownCommand ends a tree.
type shutdownCommand struct{ order }

func (c *shutdownCommand) About() about {
	return about{
		name:    "shutdown",
		summary: "stop the whole tree in order",
		details: "The same as TERM to the root, but a second one only waits. This returns when the root's process has ended.",
	}
}

// Run ends the tree.
func (c *shutdownCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if err := noWords("shutdown", words); err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if err := client.Shutdown(ctx, c.noWait); err != nil {
		return fmt.Errorf("shutting down the tree: %w", err)
	}
	return nil
}
