package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// helpCommand prints help.
type helpCommand struct{}

func (helpCommand) About() about {
	return about{name: "help", args: "[COMMAND]", summary: "print this help, or that of a command"}
}

// Flags has none to declare.
func (helpCommand) Flags(*flags) {}

// Run prints the help of a command, or of all.
func (helpCommand) Run(_ context.Context, io *stdio, words []string) error {
	if len(words) == 0 {
		return printHelp(io, nil)
	}
	c := find(words[0])
	if c == nil {
		return usage("", "there is no command %q%s", words[0], didYouMean(words[0], names()))
	}
	return printHelp(io, c)
}

// printHelp prints the help of one command; nil: of the whole program.
func printHelp(io *stdio, c command) error {
	if c == nil {
		writeOverview(io.out)
		return nil
	}
	writeHelp(io.out, c)
	return nil
}

func writeOverview(w io.Writer) {
	fmt.Fprint(w, `supervise runs OTP supervision trees of operating-system processes.

    supervise -config tree.toml            run a tree in the foreground
    supervise -config tree.toml -check     only read and check the file
    supervise COMMAND ...                  talk to a running tree

`)
	var o treeOptions
	f := newFlags("")
	o.flags(f)
	fmt.Fprintln(w, "Flags of a running tree:")
	writeFlags(w, f)
	fmt.Fprintln(w, "\nCommands:")
	for _, c := range commands() {
		if a := c.About(); !a.hidden {
			fmt.Fprintf(w, "    %-38s %s\n", strings.TrimSpace(a.name+" "+a.args), a.summary)
		}
	}
	fmt.Fprint(w, `
A command finds its tree by -socket, by SUPERVISE_SOCKET, by -config, or because
only one runs. Every flag takes one dash or two, and -x v or -x=v.
`)
}

func writeHelp(w io.Writer, c command) {
	a := c.About()
	fmt.Fprintf(w, "%s\n\n%s.\n", usageLine(c), strings.ToUpper(a.summary[:1])+a.summary[1:])
	if a.details != "" {
		fmt.Fprintf(w, "\n%s\n", wrap(a.details, 78))
	}
	if f := allFlags(c); len(f.list) > 0 {
		fmt.Fprintln(w, "\nFlags:")
		writeFlags(w, f)
	}
}

// usageLine is a command as it is typed.
func usageLine(c command) string {
	a := c.About()
	line := "supervise " + a.name
	if len(allFlags(c).list) > 0 {
		line += " [FLAG...]"
	}
	return strings.TrimSpace(line + " " + a.args)
}

// allFlags are a command's own flags and those that come with its kind.
func allFlags(c command) *flags {
	f := newFlags("")
	c.Flags(f)
	if t, ok := c.(talker); ok {
		t.reach().flags(f, place{})
		f.Bool("no-color", false, "print without colour")
	}
	return f
}

func writeFlags(w io.Writer, f *flags) {
	for _, a := range f.list {
		fmt.Fprintf(w, "    %-38s %s\n", strings.TrimSpace("-"+a.name+" "+a.value), a.about)
	}
}

// wrap breaks a text into lines of at most so many letters.
func wrap(text string, width int) string {
	var out strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			out.WriteByte('\n')
			column = 0
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}
