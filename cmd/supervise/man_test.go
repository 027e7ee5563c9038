package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const manual = "../../docs/supervise.1"

// The manual is made of the same tables as the help, so it cannot lag behind.
func TestTheManualIsUpToDate(t *testing.T) {
	made := makeManual()
	if *update {
		if err := os.WriteFile(manual, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != made {
		t.Errorf("%s is not what the program says of itself: run go test ./cmd/supervise -run Manual -update", manual)
	}
}

func TestEveryCommandAndFlagIsInTheManual(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(`\-`, "-", `\fB`, "", `\fI`, "", `\fR`, "").Replace(string(text))
	for _, name := range names() {
		section := plain
		if i := strings.Index(plain, "\n.SS "+name); i < 0 {
			t.Errorf("the command %s is not in the manual", name)
		} else {
			section = plain[i+1:]
		}
		for _, f := range ownFlags(find(name)).list {
			if !strings.Contains(section, "\n-"+f.name) {
				t.Errorf("the flag -%s of %s is not in the manual", f.name, name)
			}
		}
	}
	var o treeOptions
	f := newFlags("")
	o.flags(f)
	for _, a := range f.list {
		if !strings.Contains(plain, "\n-"+a.name) {
			t.Errorf("the flag -%s of a tree is not in the manual", a.name)
		}
	}
}

// ownFlags are a command's flags without those that all talkers share.
func ownFlags(c command) *flags {
	f := newFlags("")
	c.Flags(f)
	return f
}

func makeManual() string {
	var b strings.Builder
	b.WriteString(manHead)
	b.WriteString(".SH RUNNING A TREE\nThe process stays in the foreground until the root supervisor ends.\n")
	var o treeOptions
	tree := newFlags("")
	o.flags(tree)
	manFlags(&b, tree)
	b.WriteString(manSignals)
	b.WriteString(".SH COMMANDS\nEach talks to a running tree, except check, conformance, simulate, version, completion and help.\n" +
		"Every verb returns when what it says is true.\nA command finds its tree by\n.BR \\-socket ,\nby\n.BR SUPERVISE_SOCKET ,\nby\n.BR \\-config ,\n" +
		"or because only one tree answers in the runtime directories.\nEvery flag takes one dash or two, and\n.B \\-x v\nor\n.BR \\-x=v ;\n" +
		"flags may stand before and after the words.\nA duration has a unit: 500ms, 10s, 2m.\n")
	for _, c := range commands() {
		a := c.About()
		if a.hidden {
			continue
		}
		fmt.Fprintf(&b, ".SS %s\n%s.\n%s", esc(strings.TrimSpace(a.name+" "+a.args)), esc(strings.ToUpper(a.summary[:1])+a.summary[1:]), paragraph(a.details))
		manFlags(&b, ownFlags(c))
	}
	b.WriteString(".SS Flags of every command that talks to a tree\n")
	shared := newFlags("")
	(&target{}).flags(shared, place{})
	shared.Bool("no-color", false, "print without colour")
	manFlags(&b, shared)
	b.WriteString(manTail)
	return b.String()
}

func manFlags(b *strings.Builder, f *flags) {
	for _, a := range f.list {
		fmt.Fprintf(b, ".TP\n\\fB\\-%s\\fR", esc(a.name))
		if a.value != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", esc(a.value))
		}
		fmt.Fprintf(b, "\n%s.\n", esc(strings.ToUpper(a.about[:1])+a.about[1:]))
	}
}

func paragraph(text string) string {
	if text == "" {
		return ""
	}
	return ".PP\n" + esc(text) + "\n"
}

// esc keeps roff from reading a text as its own.
func esc(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "").Replace(text)
}

const manHead = `.\" Made by go test ./cmd/supervise -run Manual -update; do not edit.
.TH SUPERVISE 1 "" "supervise" "User Commands"
.SH NAME
supervise \- OTP supervision trees of operating\-system processes
.SH SYNOPSIS
.B supervise \-config
.I FILE
.RI [ FLAG... ]
.br
.B supervise
.I COMMAND
.RI [ FLAG... ]
.RI [ ARG... ]
.SH DESCRIPTION
supervise starts a tree of processes, keeps it alive by the rules of Erlang/OTP's supervisor, answers questions about it, and ends it in order.
Every supervisor of the tree is a process of its own.
Paths name the nodes of a tree: / is the root, /web a child of it, /web/api a child of that, /pool/3 an instance of a simple_one_for_one supervisor.
`

const manSignals = `.SS Signals to the root
.TP
.BR TERM ", " INT
End the tree in order; a second one kills what is left, in order. Within 250 ms of the first it is no second one:
.BR timeout (1)
signals twice.
.TP
.B HUP
End the tree in order if the terminal that it ran on went away; otherwise only a line in the log.
.TP
.B QUIT
Print what every goroutine is doing, and go on.
`

const manTail = `.SH EXIT STATUS
.TP
.B 0
Done; of a tree: an orderly end, or auto_shutdown by a significant child that ended well.
If that child ended badly its status is the tree's, or 128 and the number of the signal.
.TP
.B 1
The tree refused, and OTP's word for why stands on standard error: not_found, running, restarting, already_present and so on.
Of a tree: the root gave up, a child could not be started at boot, or something could not be killed.
.TP
.B 64
Bad usage.
.TP
.B 65
A scenario that cannot be read.
.TP
.B 66
A configuration that cannot be read.
.TP
.B 69
No running tree answers there, or no supervisor at that path.
.TP
.B 75
A tree already runs at that socket.
.TP
.B 77
Not permitted.
.TP
.B 78
The configuration is wrong; every error stands on standard error with its file, line and column.
.TP
.B 124
The time ran out.
.SH ENVIRONMENT
.TP
.B SUPERVISE_SOCKET
The control socket, for a command and for a tree. A tree inside another leaves it alone.
.TP
.BR RUNTIME_DIRECTORY ", " XDG_RUNTIME_DIR
Where supervise/NAME.sock is, else /run.
.TP
.B NO_COLOR
No colour, whatever its value.
.TP
.B SUPERVISE_RECORD
A directory in which every supervisor of a tree writes down each step of its decisions, for a report of a fault that is to be played again.
.PP
A child finds its path in
.BR SUPERVISE_PATH ,
the number of its start in
.BR SUPERVISE_INCARNATION ,
and the control socket in
.BR SUPERVISE_SOCKET .
.SH OUTPUT
What children print goes to supervise's own standard output and error, whole lines with the path in front.
A line over 64 KiB is split, and its pieces are marked with [...].
A reader that is slow or gone makes nobody wait: the lines that it misses are counted, and told as
.BR "\-\-\- N lines dropped \-\-\-" .
.SH CONTROL SOCKET
It speaks HTTP and JSON, one request a connection, and lists its routes at /v1:
.PP
.EX
curl \-\-unix\-socket /run/supervise/shop.sock http://localhost/v1/status
.EE
.PP
Only the user that the tree runs as, and root, are answered.
.SH STATES
.TP
.B down
No process, and none will be tried.
.TP
.B waiting
For its backoff, or its next try.
.TP
.B starting
Its process exists and is not up yet.
.TP
.B running
Up.
.TP
.B stopping
Ordered to stop.
.TP
.B stuck
Killed, and something of it is still there; its pids are listed, and no second copy is started.
.SH NOTE
Debian's daemontools has another program of this name.
`
