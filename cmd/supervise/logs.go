package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/output"
)

// logsCommand prints the last lines of children.
type logsCommand struct {
	target
	lines uint64
}

func (c *logsCommand) About() about {
	return about{
		name:    "logs",
		args:    "PATH...",
		summary: "print the last lines that a child printed",
		details: fmt.Sprintf("The last %d lines of every child are kept, over all its lives. "+
			"Everything that children print goes to the standard output and error of the running tree, where a logger can take it.", output.KeptLines),
	}
}

// Flags declares how much is wanted.
func (c *logsCommand) Flags(f *flags) {
	c.lines = output.KeptLines
	f.UintVar(&c.lines, "n", "N", fmt.Sprintf("so many lines, at most %d", output.KeptLines))
}

// Run asks for each path's lines.
func (c *logsCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if len(words) == 0 {
		return usage("logs", "logs takes a PATH")
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	for _, word := range words {
		path := nodePath(word)
		var answer control.Lines
		query := url.Values{"n": {strconv.FormatUint(min(c.lines, output.KeptLines), 10)}}
		if err := client.Get(ctx, "logs", path, query, &answer); err != nil {
			return fmt.Errorf("reading the last lines of %s: %w", path, err)
		}
		if c.json {
			if err := printJSON(io, answer); err != nil {
				return err
			}
			continue
		}
		for _, l := range answer.Lines {
			front := ""
			if len(words) > 1 {
				front = io.paint(output.Colour(path), path+" |") + " "
			}
			if _, err := fmt.Fprintln(io.out, front+l.Text); err != nil {
				return err
			}
		}
	}
	return nil
}

// printLines shows the last lines of a child below something else about it.
func printLines(io *stdio, lines []output.Line) {
	if len(lines) > 0 {
		fmt.Fprintln(io.out, "Its last lines:")
	}
	for _, l := range lines {
		fmt.Fprintf(io.out, "  %s\n", l.Text)
	}
}
