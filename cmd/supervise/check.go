package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/config"
)

// checkCommand reads a configuration and starts nothing.
type checkCommand struct{ json bool }

func (c *checkCommand) About() about {
	return about{
		name:    "check",
		args:    "FILE",
		summary: "read and check a configuration, and start nothing",
		details: "Every error and warning is printed with its file, line and column. The status is 0 if the tree may be started, warnings or not, and 78 if not.",
	}
}

// Flags declares the form.
func (c *checkCommand) Flags(f *flags) { f.BoolVar(&c.json, "json", "print JSON") }

// Run checks the file.
func (c *checkCommand) Run(_ context.Context, io *stdio, words []string) error {
	if len(words) != 1 {
		return usage("check", "check takes one FILE")
	}
	return c.check(io, words[0])
}

// checked is what check -json prints.
type checked struct {
	File        string       `json:"file"`
	OK          bool         `json:"ok"`
	Name        string       `json:"name,omitempty"`
	Supervisors int          `json:"supervisors,omitempty"`
	Workers     int          `json:"workers,omitempty"`
	Errors      []diagnostic `json:"errors,omitempty"`
	Warnings    []diagnostic `json:"warnings,omitempty"`
}

type diagnostic struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

func (c *checkCommand) check(io *stdio, file string) error {
	tree, err := config.Load(file)
	answer := checked{File: file, OK: err == nil}
	var wrong config.Diagnostics
	if errors.As(err, &wrong) {
		answer.Errors = plain(wrong)
	}
	if err == nil {
		answer.Name, answer.Warnings = tree.Name, plain(tree.Warnings)
		answer.Supervisors, answer.Workers = count(tree.Tree)
		for _, warning := range tree.Warnings {
			fmt.Fprintln(io.err, warning)
		}
	}
	if c.json && (err == nil || wrong != nil) {
		if err := printJSON(io, answer); err != nil {
			return err
		}
	}
	if err != nil || c.json {
		return err
	}
	_, err = fmt.Fprintf(io.out, "%s: ok: %s has %s and %s\n", file, tree.Name, number(answer.Supervisors, "supervisor"), number(answer.Workers, "worker"))
	return err
}

func plain(ds config.Diagnostics) []diagnostic {
	list := make([]diagnostic, len(ds))
	for i, d := range ds {
		list[i] = diagnostic{d.Place.File, d.Place.Line, d.Place.Column, d.Text}
	}
	return list
}

// count counts the processes of a tree, the root included.
func count(s *child.Subtree) (supervisors, workers int) {
	supervisors, workers = 1, len(s.Workers)
	for _, below := range s.Supervisors {
		more, moreWorkers := count(below)
		supervisors, workers = supervisors+more, workers+moreWorkers
	}
	return supervisors, workers
}

func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
