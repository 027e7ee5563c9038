package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/output"
)

// logsCommand prints what children print.
type logsCommand struct {
	target
	follow bool
	lines  uint64
}

func (c *logsCommand) About() about {
	return about{
		name:    "logs",
		args:    "[PATH...]",
		summary: "print the last lines that children printed",
		details: fmt.Sprintf("Of a supervisor, those of all below it; without a PATH, of the whole tree. The last %d lines of every child are kept, over all its lives. "+
			"Everything that children print goes to the standard output and error of the running tree, where a logger can take it.", output.KeptLines),
	}
}

// Flags declares how much is wanted.
func (c *logsCommand) Flags(f *flags) {
	c.lines = output.KeptLines
	f.BoolVar(&c.follow, "f", "go on with what they print, until the tree ends")
	f.UintVar(&c.lines, "n", "N", fmt.Sprintf("so many lines of each child, at most %d", output.KeptLines))
}

// Run asks for each path's lines, or follows them all.
func (c *logsCommand) Run(ctx context.Context, io *stdio, words []string) error {
	paths := make([]string, len(words))
	for i, word := range words {
		paths[i] = nodePath(word)
	}
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	c.lines = min(c.lines, output.KeptLines)
	if c.follow {
		return client.FollowLogs(ctx, paths, c.lines, func(line []byte) error { return c.print(io, line) })
	}
	for _, path := range paths {
		var answer control.Lines
		if err := client.Get(ctx, "logs", path, url.Values{"n": {fmt.Sprint(c.lines)}}, &answer); err != nil {
			return fmt.Errorf("reading the last lines of %s: %w", path, err)
		}
		if c.json {
			if err := printJSON(io, answer); err != nil {
				return err
			}
			continue
		}
		for i := range answer.Lines {
			if err := printLine(io, &answer.Lines[i], len(paths) > 1 || answer.Lines[i].Path != path); err != nil {
				return err
			}
		}
	}
	return nil
}

// print prints a line of those that are followed.
func (c *logsCommand) print(io *stdio, line []byte) error {
	if c.json {
		_, err := io.out.Write(append(line, '\n'))
		return err
	}
	var l control.TapLine
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("reading a line: %w", err)
	}
	if l.PathLine == nil {
		_, err := fmt.Fprintf(io.out, "--- %d lines dropped ---\n", l.Dropped)
		return err
	}
	return printLine(io, l.PathLine, true)
}

// printLine prints a child's line, with its path in front if that is not clear.
func printLine(io *stdio, l *output.PathLine, path bool) error {
	front := ""
	if path {
		front = io.paint(output.Colour(l.Path), l.Path+" |") + " "
	}
	_, err := fmt.Fprintln(io.out, front+l.Text)
	return err
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
