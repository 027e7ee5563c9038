// Command supervise runs supervision trees of OS processes, and talks to them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/stage"
)

// version is set by the linker.
var version = "dev"

// In a process that runs a node the first thread is main's, which only waits:
// see child.Spawn.
func init() {
	if child.IsNode() {
		runtime.LockOSThread()
	}
}

func main() {
	if !child.IsNode() {
		os.Exit(begin())
	}
	status := make(chan int)
	go func() { status <- begin() }()
	os.Exit(<-status)
}

func begin() int {
	switch {
	case inNodeRole():
		return runNode()
	case stage.IsActor():
		return stage.Act()
	}
	return run(terminal(), os.Args[1:])
}

// outliveReaders makes a write to a standard output or error whose reader is
// gone an error, and not the end of the process, as it should be for a tree. A
// handler is not inherited, so children get their SIGPIPE as ever.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// run does what the words of a command line say, and returns the exit status.
func run(io *stdio, args []string) int {
	out := &checkedWriter{to: io.out}
	io.out = out
	err := dispatch(io, args)
	if err == nil && out.err != nil {
		err = fmt.Errorf("writing to standard output: %w", out.err)
	}
	if text := complaint(err); text != "" {
		fmt.Fprintln(io.err, text)
	}
	return statusOf(err)
}

// dispatch finds the command and runs it. Without a command it is the tree
// that runs, or is checked.
func dispatch(io *stdio, args []string) error {
	var o treeOptions
	flags := newFlags("supervise")
	o.flags(flags)
	help := flags.help()
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.set.Parse(args); err != nil {
		return usage("", "%v", flags.suggest(err))
	}
	rest := flags.set.Args()
	switch {
	case *help:
		return printHelp(io, nil)
	case *showVersion:
		rest = []string{"version"}
	case len(rest) == 0 && o.config == "":
		writeOverview(io.err)
		return usage("", "nothing to do: give a command, or -config FILE")
	case len(rest) == 0:
		return o.run(io)
	}
	if o.check || o.logLevel != defaultLogLevel || o.logFormat != defaultLogFormat {
		return usage("", "the flags of a running tree do not go with the command %s", rest[0])
	}
	io.plain(o.noColor)
	return runCommand(io, rest[0], rest[1:], o.place)
}

// runCommand runs one command with what stands after its name.
func runCommand(io *stdio, name string, args []string, from place) error {
	c := find(name)
	if c == nil {
		return usage("", "there is no command %q%s", name, didYouMean(name, names()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if c.About().hidden {
		return c.Run(ctx, io, args) // another program's words, flags and all
	}
	flags := newFlags("supervise " + name)
	help := flags.help()
	noColor := flags.Bool("no-color", false, "print without colour")
	c.Flags(flags)
	if t, ok := c.(talker); ok {
		t.reach().flags(flags, from)
	}
	words, err := flags.parse(args)
	if err != nil {
		return usage(name, "%v", flags.suggest(err))
	}
	if *help {
		return printHelp(io, c)
	}
	io.plain(*noColor)
	return c.Run(ctx, io, words)
}

// command is one word of the command line. A command with a tree to talk to
// also is a talker.
type command interface {
	About() about
	Flags(*flags)
	Run(ctx context.Context, io *stdio, args []string) error
}

// about is what help, the manual and the completions say of a command.
type about struct {
	name    string
	args    string // "PATH SIGNAL"
	summary string // one line, without a stop
	details string // what else one must know, in sentences
	hidden  bool
}

// commands are all that there are, in the order of the help.
func commands() []command {
	return []command{
		&statusCommand{}, &eventsCommand{}, &logsCommand{}, &whyCommand{}, &waitCommand{},
		&orderCommand{verb: "start"}, &orderCommand{verb: "stop"}, &orderCommand{verb: "restart"},
		&addCommand{}, &orderCommand{verb: "remove"}, &signalCommand{}, &shutdownCommand{},
		&callCommand{}, &castCommand{}, &namesCommand{},
		&checkCommand{}, &conformanceCommand{}, &simulateCommand{}, &versionCommand{}, &completionCommand{}, &completeCommand{}, &helpCommand{},
	}
}

func find(name string) command {
	for _, c := range commands() {
		if c.About().name == name {
			return c
		}
	}
	return nil
}

// names are the words that may be typed.
func names() []string {
	var all []string
	for _, c := range commands() {
		if a := c.About(); !a.hidden {
			all = append(all, a.name)
		}
	}
	return all
}

// stdio is where a command prints, and what it knows of that.
type stdio struct {
	out, err io.Writer
	getenv   func(string) string
	tty      bool // out is a terminal
	colour   bool // out takes colour
}

// checkedWriter remembers that something could not be written, so that a
// command whose answer got lost does not end with status 0.
type checkedWriter struct {
	to  io.Writer
	err error
}

func (w *checkedWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// terminal is the process's own.
func terminal() *stdio {
	tty := isTerminal(os.Stdout)
	return &stdio{out: os.Stdout, err: os.Stderr, getenv: os.Getenv, tty: tty, colour: tty && wantsColour(os.Getenv)}
}

// plain takes the colour away if it is not wanted.
func (s *stdio) plain(yes bool) { s.colour = s.colour && !yes }

// wantsColour honours NO_COLOR (no-color.org) and a terminal that has none.
func wantsColour(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// didYouMean proposes the nearest of some words, if one is near.
func didYouMean(word string, of []string) string {
	word = strings.ToLower(word)
	best, least := "", max(1, len(word)/3)+1
	for _, w := range of {
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance is how many letters must be put in, left out, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = slices.Min([]int{rows[i-1][j] + 1, rows[i][j-1] + 1, rows[i-1][j-1] + cost})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
