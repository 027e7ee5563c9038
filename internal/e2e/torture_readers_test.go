package e2e

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// Readers of events that are dead, and one that stands still while more happens than is
// kept: the tree goes on in bounded memory, and the one that reads again is told what it
// has missed, and misses nothing else.
func TestReadersOfEventsThatDoNotRead(t *testing.T) {
	t.Parallel()
	// Each life is four events, which take 170 bytes with a long name, and 2 MiB are kept.
	const children, lives, dead = 5, 800, 20
	long := strings.Repeat("long-", 24)
	r := boot(t, "intensity = \"infinity\"\n[defaults]\nbackoff = { kind = \"none\" }\n"+
		strings.ReplaceAll(workers(children, "true"), `"w`, `"`+long)+
		"[[child]]\nname = \"quiet\"\ncommand = [\"sleep\", \"1000\"]\n")
	r.follow()
	for range dead {
		conn, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
	}
	before := memory(t, rootOf(r), "VmRSS")
	if err := r.events.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range children {
		r.passes(fmt.Sprint("/", long, i), lives)
	}
	r.does(0, "restart", "/quiet") // whoever asks is answered
	if peak := memory(t, rootOf(r), "VmHWM"); peak > before+limit(16<<10) {
		t.Errorf("%d readers that do not read took the root from %d to %d kB", dead+1, before, peak)
	}
	for i := range children {
		r.does(0, "stop", fmt.Sprint("/", long, i))
	}
	if err := r.events.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lost := r.find("a word about what was lost", func(e *journal.Record) bool { return e.Event == journal.Lost })
	if lost.From == 0 || lost.To < lost.From {
		t.Errorf("it was told of as %+v", lost)
	}
	r.does(0, "restart", "/quiet")
	r.await("/quiet", journal.Start, 3)
	said := r.events.said.String()
	lifelines(t, records(t, said[:strings.LastIndexByte(said, '\n')+1]))
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
