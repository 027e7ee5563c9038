package proc_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// trace collects what happens in a worker, in order.
func server(t *testing.T, init func(s *proc.Server, note func(string)) error) (*proctest.Tree, func() []string) {
	t.Helper()
	tree := proctest.New(t)
	notes := make(chan string, 1000)
	start(t, tree, "/srv", func(s *proc.Server) error {
		note := func(text string) { notes <- text }
		Note.Handle(s, func(_ context.Context, text string) error { note(text); return nil })
		Sleep.Handle(s, func(_ context.Context, d time.Duration) (string, error) {
			time.Sleep(d) // virtual
			return "slept", nil
		})
		if err := s.Register(Srv); err != nil {
			return err
		}
		return init(s, note)
	})
	return tree, func() []string {
		synctest.Wait()
		var all []string
		for len(notes) > 0 {
			all = append(all, <-notes)
		}
		return all
	}
}

func wantNotes(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("it did %q, want %q", got, want)
	}
}

func TestGS14ContinueRunsBeforeTheMailboxAndAfterReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.Continue(func(context.Context) error {
				<-gate // Start has returned before: the worker was ready
				note("continued")
				s.Continue(func(context.Context) error { note("continued again"); return nil })
				return nil
			})
			return nil
		})
		if err := Note.Cast(tree.Context(), Srv, "cast"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(gate)
		wantNotes(t, notes(), "continued", "continued again", "cast")
	})
}

func TestGS15ATimeoutComesWhenNothingElseDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.Timeout(time.Second, func(context.Context) error { note("timeout"); return nil })
			Echo.Handle(s, func(_ context.Context, text string) (string, error) {
				s.Timeout(time.Second, func(context.Context) error { note("second timeout"); return nil })
				return text, nil
			})
			return nil
		})
		time.Sleep(999 * time.Millisecond)
		Note.Cast(tree.Context(), Srv, "cancels it")
		time.Sleep(5 * time.Second)
		wantNotes(t, notes(), "cancels it")
		must[string](t)(Echo.Call(tree.Context(), Srv, ""))
		time.Sleep(time.Second)
		wantNotes(t, notes(), "second timeout")
	})
}

func TestGS16WithTimeoutZeroWhatWaitsGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			Die.Handle(s, func(context.Context, string) error {
				time.Sleep(time.Second) // meanwhile a cast comes
				s.Timeout(0, func(context.Context) error { note("timeout"); return nil })
				return nil
			})
			Never.Handle(s, func(context.Context, proc.None) (string, error) {
				s.Timeout(0, func(context.Context) error { note("timeout"); return nil })
				return "", nil
			})
			return nil
		})
		Die.Cast(tree.Context(), Srv, "")
		Note.Cast(tree.Context(), Srv, "waits")
		time.Sleep(2 * time.Second)
		wantNotes(t, notes(), "waits")
		must[string](t)(Never.Call(tree.Context(), Srv, proc.None{}))
		wantNotes(t, notes(), "timeout")
	})
}

func TestGS17ASystemMessageRestartsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := 7
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			proc.State(s, &state)
			s.Timeout(time.Second, func(context.Context) error { note("timeout"); return nil })
			return nil
		})
		time.Sleep(900 * time.Millisecond)
		const getState proc.Call[proc.None, int] = "$sys.get_state"
		if got := must[int](t)(getState.Call(tree.Context(), Srv, proc.None{})); got != 7 {
			t.Errorf("the state is %d", got)
		}
		time.Sleep(900 * time.Millisecond)
		wantNotes(t, notes())
		time.Sleep(100 * time.Millisecond)
		wantNotes(t, notes(), "timeout")
	})
}

func TestGS18APanicTerminatesWithItsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.OnTerminate(func(_ context.Context, r proc.Reason) error { note("terminate " + r.String()); return nil })
			Echo.Handle(s, func(context.Context, string) (string, error) { panic("boom") })
			return nil
		})
		_, err := Echo.Call(tree.Context(), Srv, "")
		wantErr(t, err, proc.ErrDown)
		wantNotes(t, notes(), "terminate abnormal (panic in echo: boom)")
		if down := tree.Wait("/srv"); down.Reason.Class != proc.Abnormal || !strings.Contains(down.Reason.Detail, "boom") {
			t.Errorf("it ended %v", down.Reason)
		}
	})
}

func TestGS19AnErrorIsAReturnValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := server(t, func(s *proc.Server, _ func(string)) error {
			Echo.Handle(s, func(_ context.Context, text string) (string, error) {
				if text == "with" {
					return "", ErrNo.With(25)
				}
				return "", ErrNo
			})
			return nil
		})
		_, err := Echo.Call(tree.Context(), Srv, "")
		wantErr(t, err, ErrNo)
		_, err = Echo.Call(tree.Context(), Srv, "with")
		var have int
		if !errors.Is(err, ErrNo) || !ErrNo.Data(err, &have) || have != 25 {
			t.Errorf("%v with %d", err, have)
		}
	})
}

func TestGS20AHandlerThatLeavesByGoexitIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.OnTerminate(func(context.Context, proc.Reason) error { note("terminate"); return nil })
			Echo.Handle(s, func(context.Context, string) (string, error) { goexit(); return "", nil })
			return nil
		})
		_, err := Echo.Call(tree.Context(), Srv, "")
		wantErr(t, err, proc.ErrDown)
		wantNotes(t, notes(), "terminate")
		if down := tree.Wait("/srv"); down.Reason.Class != proc.Abnormal {
			t.Errorf("it ended %v", down.Reason)
		}
	})
}

func TestGS21InitIsOKIgnoreOrAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		broken := errors.New("no database")
		for path, want := range map[string]error{"/ok": nil, "/ignore": proc.ErrIgnore, "/broken": broken} {
			if err := tree.Start(path, func(*proc.Server) error { return want }); err != want {
				t.Errorf("%s: %v", path, err)
			}
		}
		err := tree.Start("/panics", func(*proc.Server) error { panic("in the middle") })
		if err == nil || !strings.Contains(err.Error(), "panic in init: in the middle") {
			t.Errorf("a panic: %v", err)
		}
	})
}

func TestGS22CallsThatComeDuringInitWaitUntilItHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		gate := make(chan struct{})
		go tree.Start("/slow", func(s *proc.Server) error {
			if err := s.Register("slow"); err != nil {
				return err
			}
			<-gate
			Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
			return nil
		})
		synctest.Wait()
		answer := make(chan string)
		go func() { answer <- must[string](t)(Echo.Call(tree.Context(), proc.Name("slow"), "hello")) }()
		synctest.Wait()
		close(gate)
		if got := <-answer; got != "hello" {
			t.Errorf("answered with %q", got)
		}
	})
}

func TestGS23AFailedInitHasFreedTheNameBeforeTheStarterHearsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/first", func(s *proc.Server) error { return s.Register("name") })
		err := tree.Start("/second", func(s *proc.Server) error { return s.Register("name") })
		wantErr(t, err, proc.ErrAlreadyRegistered)
		tree.Stop("/first")
		failed := errors.New("failed after it had registered")
		err = tree.Start("/third", func(s *proc.Server) error {
			if err := s.Register("name"); err != nil {
				return err
			}
			return failed
		})
		wantErr(t, err, failed)
		start(t, tree, "/fourth", func(s *proc.Server) error { return s.Register("name") })
	})
}

func TestGS24TheEndOfTheChannelEndsAServerThroughTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := newLoop()
		w.hello(t)
		reasons := make(chan proc.Reason, 1)
		result := make(chan error)
		go func() {
			result <- proc.ServeOver(context.Background(), r, discard{}, func(s *proc.Server) error {
				s.OnTerminate(func(_ context.Context, why proc.Reason) error { reasons <- why; return nil })
				return nil
			})
		}()
		synctest.Wait()
		w.Close()
		if err := <-result; err != nil {
			t.Errorf("it ended with %v", err)
		}
		if why := <-reasons; why.Class != proc.Shutdown {
			t.Errorf("terminated with %v", why)
		}
	})
}

func TestGS25AndGS26ALinksFaultIsAMessageToWhoTrapsAndDeathToWhoDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.OnTerminate(func(context.Context, proc.Reason) error { note("terminate"); return nil })
			return nil
		})
		exits := make(chan proc.Down, 10)
		start(t, tree, "/trapping", func(s *proc.Server) error {
			s.TrapExit(func(_ context.Context, d proc.Down) error { exits <- d; return nil })
			return s.Link(Srv, proc.LinkPeer)
		})
		terminated := false
		start(t, tree, "/plain", func(s *proc.Server) error {
			s.OnTerminate(func(context.Context, proc.Reason) error { terminated = true; return nil })
			return s.Link(proc.Name("/srv"), proc.LinkMonitor)
		})
		tree.Kill("/srv")
		if d := <-exits; d.Path != "/srv" || d.Reason.Class != proc.Killed {
			t.Errorf("the trapping one heard of %+v", d)
		}
		if d := tree.Wait("/plain"); d.Reason != (proc.Reason{Class: proc.Abnormal, Detail: "cascade: /srv#1"}) || terminated {
			t.Errorf("the plain one ended %v, terminated %v", d.Reason, terminated)
		}
		wantNotes(t, notes())
		if len(exits) != 0 {
			t.Errorf("and of %+v", <-exits)
		}
	})
}

func TestGS27KillIsNotTrappedAndDoesNotTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.TrapExit(func(context.Context, proc.Down) error { note("trapped"); return nil })
			s.OnTerminate(func(context.Context, proc.Reason) error { note("terminate"); return nil })
			return nil
		})
		tree.Kill("/srv")
		wantNotes(t, notes())
		if down := tree.Wait("/srv"); down.Reason.Class != proc.Killed {
			t.Errorf("others see %v", down.Reason)
		}
	})
}

func TestGS28AKilledPassedOnByALinkCanBeTrapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := server(t, func(*proc.Server, func(string)) error { return nil })
		exits := make(chan proc.Down, 1)
		start(t, tree, "/watcher", func(s *proc.Server) error {
			s.TrapExit(func(_ context.Context, d proc.Down) error { exits <- d; return nil })
			return s.Link(Srv, proc.LinkMonitor)
		})
		tree.Kill("/srv")
		if d := <-exits; d.Reason.Class != proc.Killed {
			t.Errorf("trapped %v", d.Reason)
		}
	})
}

func TestGS29AnOrderToStopTerminatesWithShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			s.OnTerminate(func(ctx context.Context, r proc.Reason) error {
				by, ok := ctx.Deadline()
				if !ok || time.Until(by) != 10*time.Second {
					t.Errorf("the time to end is over in %v", time.Until(by))
				}
				note("terminate " + r.String())
				return nil
			})
			return nil
		})
		tree.Stop("/srv")
		wantNotes(t, notes(), "terminate shutdown")
		if down := tree.Wait("/srv"); down.Reason.Class != proc.Shutdown {
			t.Errorf("it ended %v", down.Reason)
		}
	})
}
