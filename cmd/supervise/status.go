package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
)

// statusCommand shows the tree, or a part of it.
type statusCommand struct{ target }

func (c *statusCommand) About() about {
	return about{
		name:    "status",
		args:    "[PATH]",
		summary: "show the tree, or the part of it at PATH",
		details: "A line a node: its state, its pid, since when, how often it was restarted, how it last ended, and when the next try is. " +
			"Of a single worker the last lines of output are shown too. With -json it is one object, with the children inside.",
	}
}

// Flags has none of its own to declare.
func (c *statusCommand) Flags(*flags) {}

// Run asks for the state and prints it.
func (c *statusCommand) Run(ctx context.Context, io *stdio, words []string) error {
	path := "/"
	if len(words) > 0 {
		var err error
		if path, err = onePath("status", words); err != nil {
			return err
		}
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	var n control.NodeStatus
	if err := client.Get(ctx, "status", path, nil, &n); err != nil {
		return fmt.Errorf("showing %s: %w", path, err)
	}
	if c.json {
		return printJSON(io, n)
	}
	t := table{io: io, now: time.Now(), top: n.Path}
	t.add(n.Node, "", "")
	t.print()
	printChannel(io, n.Channel)
	printLines(io, n.Output)
	return nil
}

// table is the lines of a status, to be aligned.
type table struct {
	io   *stdio
	now  time.Time
	top  string
	rows []row
}

// row is one node: the cells that are aligned, and a note that is not.
type row struct {
	cells [5]string // name, state, pid, time, restarts
	state journal.State
	note  string
}

// add puts in a node and what is below it. On a terminal it stands under its
// parent; elsewhere it has its whole path, for grep.
func (t *table) add(n *journal.Node, before, under string) {
	name := n.Path
	if t.io.tty {
		name = before + n.Name
	}
	r := row{state: n.State, note: note(n, t.now)}
	r.cells = [5]string{name, n.State.String(), "", "", ""}
	if n.Pid != 0 {
		r.cells[2] = fmt.Sprintf("pid %d", n.Pid)
		r.cells[3] = "for " + journal.Span(t.now.Sub(n.StartedAt))
	}
	switch {
	case n.Restarts == 1:
		r.cells[4] = "1 restart"
	case n.Restarts > 1:
		r.cells[4] = fmt.Sprintf("%d restarts", n.Restarts)
	}
	t.rows = append(t.rows, r)
	for i, c := range n.Children {
		if i+1 < len(n.Children) {
			t.add(c, under+"├─ ", under+"│  ")
		} else {
			t.add(c, under+"└─ ", under+"   ")
		}
	}
}

// note says what is not as it should be.
func note(n *journal.Node, now time.Time) string {
	var parts []string
	if n.Containment != "" {
		parts = append(parts, "containment "+n.Containment)
	}
	if n.LastExit != nil && (n.State != journal.StateRunning || n.Restarts > 0) {
		parts = append(parts, "last "+ending(n.LastExit)+" "+journal.Span(now.Sub(n.LastExit.At))+" ago")
	}
	if n.Error != "" {
		parts = append(parts, "start failed: "+n.Error)
	}
	if n.State == journal.StateWaiting && n.NextTry.After(now) {
		parts = append(parts, "next try in "+journal.Span(n.NextTry.Sub(now)))
	}
	if n.State == journal.StateStuck {
		parts = append(parts, fmt.Sprintf("cannot be killed: %v", n.Pids))
	}
	if n.Text != "" {
		parts = append(parts, n.Text)
	}
	return strings.Join(parts, "; ")
}

// ending says in two words how a process ended.
func ending(e *journal.LastExit) string {
	switch {
	case e.Cause != "":
		return e.Reason + " by " + e.Signal + " (" + e.Cause + ")"
	case e.Signal != "":
		return e.Reason + " by " + e.Signal
	case e.Status != nil && *e.Status != 0:
		return fmt.Sprintf("%s with status %d", e.Reason, *e.Status)
	}
	return e.Reason
}

// The colours of the states.
var stateColours = [...]string{
	journal.StateDown: "90", journal.StateWaiting: "33", journal.StateStarting: "36",
	journal.StateRunning: "32", journal.StateStopping: "33", journal.StateStuck: "31;1",
}

func (t *table) print() {
	var widths [5]int
	for _, r := range t.rows {
		for i, cell := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var all strings.Builder
	for _, r := range t.rows {
		var line strings.Builder
		for i, cell := range r.cells {
			if widths[i] == 0 {
				continue
			}
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			if i == 1 {
				cell = t.io.paint(stateColours[r.state], cell)
			}
			line.WriteString(cell + padding)
		}
		line.WriteString(r.note)
		all.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	fmt.Fprint(t.io.out, all.String())
}

// paint colours a text, where that is wanted.
func (s *stdio) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
