package main

import (
	"context"
	"fmt"

	"github.com/supertrees/supervise/internal/control"
)

// whyCommand explains a state.
type whyCommand struct{ target }

func (c *whyCommand) About() about {
	return about{
		name:    "why",
		args:    "PATH",
		summary: "explain why a child is in the state it is in",
		details: "A paragraph: how its last process ended, which rule applies, how far its supervisor is from giving up, when the next try is; " +
			"then the last lines that it printed.",
	}
}

// Flags has none of its own to declare.
func (c *whyCommand) Flags(*flags) {}

// Run asks for the explanation.
func (c *whyCommand) Run(ctx context.Context, io *stdio, words []string) error {
	path, err := onePath("why", words)
	if err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	var e control.Explanation
	if err := client.Get(ctx, "why", path, nil, &e); err != nil {
		return fmt.Errorf("explaining %s: %w", path, err)
	}
	if c.json {
		return printJSON(io, e)
	}
	fmt.Fprintln(io.out, e.Why)
	printLines(io, e.Output)
	return nil
}
