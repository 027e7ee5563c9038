package e2e

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/proc"
)

// serving is a tree with one worker of package proc.
const serving = `
[[child]]
name    = "srv"
command = "exec $E2E_PLAY play server"
channel = "frames"
`

// server is that worker: it echoes, and breaks when it is told to.
func server(s *proc.Server) error {
	proc.Call[string, string]("echo").Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
	proc.Cast[string]("break").Handle(s, func(_ context.Context, why string) error { return breaks(why) })
	if os.Getenv("BREAKS") != "" {
		return breaks(os.Getenv("BREAKS"))
	}
	return s.Register("srv")
}

// breaks is where the stack of a panic begins.
func breaks(why string) error { panic(why) }

// A worker that broke is explained by what it said last, when it runs again too.
func TestWhyAWorkerOfProcBroke(t *testing.T) {
	t.Parallel()
	r := boot(t, serving)
	r.does(0, "cast", "srv", "break", `"no more\nof this"`)
	end := r.await("/srv", journal.Exit, 1)
	if !strings.HasPrefix(end.Message, "panic in break: no more of this [") || !strings.Contains(end.Message, "e2e.breaks(") || !strings.Contains(end.Message, "channel_test.go:") {
		t.Errorf("its end is told as %q", end.Message)
	}
	if n := len(end.Message); n > 256+1024+64 {
		t.Errorf("%d bytes are told of its end", n)
	}
	r.await("/srv", journal.Start, 2)
	if out, _ := r.does(0, "why", "/srv"); !strings.Contains(out, end.Message) || !strings.Contains(out, "ended abnormal, with status 1") {
		t.Errorf("why says %s", out)
	}

	failing := launch(t, serving, with("BREAKS=no luck"))
	failing.endsWith(1)
	if said := failing.stderr.String(); !strings.Contains(said, "panic in init: no luck [") || !strings.Contains(said, "e2e.breaks(") {
		t.Errorf("of an Init that broke the tree said %s", said)
	}
}

func TestATraceAndALogOfAWorker(t *testing.T) {
	t.Parallel()
	r := boot(t, serving)
	call := func(status int, words ...string) (stdout, stderr string) {
		t.Helper()
		return r.does(status, append([]string{"call", "-timeout", patience.String(), "srv"}, words...)...)
	}
	if out, _ := call(0, "$sys.log"); out != "[]\n" {
		t.Errorf("before it was asked to keep any it has logged %s", out)
	}
	call(0, "$sys.log", `{"on":true}`)
	call(0, "$sys.trace", `{"on":true,"events":2}`)
	for range 9 {
		call(0, "echo", `"hello"`)
	}
	r.stderr.says(t, "event=in type=call method=echo")
	r.stderr.says(t, "proc: the trace has ended")
	if n := strings.Count(r.stderr.String(), "proc: trace"); n != 2 {
		t.Errorf("a trace of 2 events has printed %d", n)
	}
	out, _ := call(0, "$sys.log")
	if n := strings.Count(out, `"event":`); n != 10 || strings.Count(out, `"event":"out","type":"reply"`) != 5 || !strings.Contains(out, `"payload":"\"hello\""`) {
		t.Errorf("it has logged %d events: %s", n, out)
	}
	if _, said := call(1, "$sys.trace", "true"); !strings.Contains(said, "bad_request") {
		t.Errorf("a wrong order to trace: %s", said)
	}
	call(0, "$sys.log", `{"on":false}`)
	if out, _ := call(0, "$sys.log"); out != "[]\n" {
		t.Errorf("when it is off it has logged %s", out)
	}
}
