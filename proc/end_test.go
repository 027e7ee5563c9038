package proc_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// enders are workers that end in some way when they are cast to; each says in
// its Init what it handles.
var enders = map[string]proc.Init{
	"panics in Init": func(*proc.Server) error { panic("boom") },
	"panics in OnTerminate": func(s *proc.Server) error {
		s.OnTerminate(func(context.Context, proc.Reason) error { panic("boom") })
		Die.Handle(s, func(context.Context, string) error { s.Stop(nil); return nil })
		return nil
	},
	"panics beside": func(s *proc.Server) error {
		die := make(chan struct{})
		s.Go(func(context.Context) error { <-die; panic("boom") })
		Die.Handle(s, func(context.Context, string) error { close(die); return nil })
		return nil
	},
	"leaves by Goexit": func(s *proc.Server) error {
		Die.Handle(s, func(context.Context, string) error { goexit(); return nil })
		return nil
	},
	"exits": func(s *proc.Server) error {
		Die.Handle(s, func(context.Context, string) error { os.Exit(7); return nil })
		return nil
	},
	"stops twice": func(s *proc.Server) error {
		Die.Handle(s, func(context.Context, string) error { s.Stop(nil); s.Stop(errBroken); return nil })
		return nil
	},
}

func init() {
	for role, init := range enders {
		roles[role] = func() { proc.Main(init) }
	}
	roles["answers too late"] = func() {
		var from proc.From[string]
		err := proc.Serve(context.Background(), func(s *proc.Server) error {
			Never.HandleLater(s, func(_ context.Context, _ proc.None, f proc.From[string]) error { from = f; return nil })
			Die.Handle(s, func(context.Context, string) error { s.Stop(nil); return nil })
			return nil
		})
		fmt.Println(err, from.Reply("too late"), from.Fail(errBroken))
	}
	roles["starts slowly"] = func() {
		proc.Main(func(s *proc.Server) error {
			proc.Status("starting")
			<-s.Context(context.Background()).Done() // never
			return nil
		})
	}
}

// However a worker breaks, its node reads how, as far as the worker can still say
// it, and the status says the same.
func TestHoweverAWorkerEndsItsNodeKnows(t *testing.T) {
	for role, c := range map[string]struct{ word, says, status string }{
		"panics in Init":        {ipc.VerbFailed, `"reason":"panic in init: boom"`, "exit status 1"},
		"panics in OnTerminate": {ipc.VerbExiting, `"reason":"abnormal","detail":"panic in OnTerminate: boom"`, "exit status 1"},
		"panics beside":         {ipc.VerbExiting, `"reason":"abnormal","detail":"panic in a function beside the mailbox: boom"`, "exit status 1"},
		"leaves by Goexit":      {ipc.VerbExiting, `"reason":"abnormal","detail":"a handler called runtime.Goexit"`, "exit status 1"},
		"exits":                 {"", "", "exit status 7"},
		"stops twice":           {ipc.VerbExiting, `{"reason":"normal"}`, "exit status 0"},
	} {
		t.Run(role, func(t *testing.T) {
			p := spawn(t, role, true)
			p.want(ipc.VerbHello)
			if c.word != ipc.VerbFailed {
				p.want(ipc.VerbReady)
				p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: "die", Payload: []byte(`"now"`)})
			}
			if c.word != "" {
				if m := p.want(c.word); !strings.Contains(string(m.Payload), c.says) {
					t.Errorf("its last word is %s", m.Payload)
				}
			}
			if got := p.ended(); got != c.status {
				t.Errorf("it ended with %s", got)
			}
		})
	}
}

func TestAnAnswerAfterTheEndIsNone(t *testing.T) {
	p := spawn(t, "answers too late", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbReady)
	p.send(ipc.Message{Type: ipc.Call, ID: 7, Method: "never"})
	p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: "die", Payload: []byte(`"now"`)})
	p.want(ipc.VerbExiting)
	if got := p.ended(); got != "exit status 0" || p.out.String() != "<nil> false false\n" {
		t.Errorf("%s, %q", got, &p.out)
	}
}

// The order to end comes as a frame and as a signal: whichever is first, it ends once.
func TestTwoOrdersToEndAreOne(t *testing.T) {
	for _, first := range []string{"signal", "frame"} {
		p := spawn(t, "echo", true)
		p.want(ipc.VerbHello)
		p.want(ipc.VerbReady)
		frame := func() { // it may have ended by then
			_ = p.conn.Send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbStop, Payload: []byte(`{"reason":"shutdown","grace_ms":3000}`)})
		}
		if first == "frame" {
			frame()
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if first == "signal" {
			frame()
		}
		if m := p.want(ipc.VerbExiting); string(m.Payload) != `{"reason":"shutdown"}` {
			t.Errorf("%s first: it leaves with %s", first, m.Payload)
		}
		if got := p.ended(); got != "exit status 0" || p.out.String() != "terminate shutdown\n" {
			t.Errorf("%s first: %s, %q", first, got, &p.out)
		}
	}
}

func TestTermInInitEndsAWorkerAtOnce(t *testing.T) {
	p := spawn(t, "starts slowly", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbStatus)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if got := p.ended(); got != "signal: terminated" {
		t.Errorf("it ended with %s", got)
	}
}
