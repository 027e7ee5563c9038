package config

import (
	"fmt"
	"strings"
)

// Place is a place in a configuration. Line and Column count from 1, and
// columns count characters. Line 0 is the file as a whole.
type Place struct {
	File   string
	Line   int
	Column int
}

// String writes FILE:LINE:COLUMN.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Diagnostic is one thing that is wrong, or (Warning) that may be meant but
// seldom is.
type Diagnostic struct {
	Place   Place
	Text    string
	Warning bool
}

// String writes FILE:LINE:COLUMN: what is wrong.
func (d Diagnostic) String() string {
	if d.Warning {
		return d.Place.String() + ": warning: " + d.Text
	}
	return d.Place.String() + ": " + d.Text
}

// Diagnostics are things that are wrong, sorted by place.
type Diagnostics []Diagnostic

// Error writes one diagnostic a line, without a newline at the end.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// ReadError says that the file that was asked for cannot be read at all.
type ReadError struct {
	File string
	Err  error
}

// Error names the file and the cause.
func (e *ReadError) Error() string {
	return fmt.Sprintf("reading the configuration %s: %v", e.File, e.Err)
}

// Unwrap is the cause, as the system told it.
func (e *ReadError) Unwrap() error { return e.Err }
