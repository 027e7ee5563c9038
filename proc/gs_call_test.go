package proc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// Rules GS-1 to GS-35 and LNK-1 to LNK-4 of gen_server, one test each. All run
// in virtual time: a time that is asserted is exact.

const (
	Echo  proc.Call[string, string]        = "echo"
	Sleep proc.Call[time.Duration, string] = "sleep"
	Note  proc.Cast[string]                = "note"
	Notes proc.Call[proc.None, []string]   = "notes"
	Die   proc.Cast[string]                = "die"
	Never proc.Call[proc.None, string]     = "never"

	Srv   proc.Name  = "srv"
	ErrNo proc.Error = "no"
)

// srv is the server of most stories.
func srv(s *proc.Server) error {
	var notes []string
	Echo.Handle(s, func(_ context.Context, text string) (string, error) {
		notes = append(notes, "echo "+text)
		return text, nil
	})
	Sleep.Handle(s, func(_ context.Context, d time.Duration) (string, error) {
		time.Sleep(d) // virtual: the work that a handler does
		notes = append(notes, "slept")
		return "slept", nil
	})
	Note.Handle(s, func(_ context.Context, text string) error { notes = append(notes, text); return nil })
	Notes.Handle(s, func(context.Context, proc.None) ([]string, error) { return notes, nil })
	Never.HandleLater(s, func(context.Context, proc.None, proc.From[string]) error { return nil })
	Die.Handle(s, func(_ context.Context, how string) error {
		switch how {
		case "normal":
			s.Stop(nil)
		case "shutdown":
			s.Stop(proc.ErrShutdown)
		case "panic":
			panic("boom")
		default:
			s.Stop(errors.New(how))
		}
		return nil
	})
	return s.Register(Srv)
}

// story runs a test in a bubble, with srv at /srv.
func story(t *testing.T, f func(t *testing.T, tree *proctest.Tree, ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/srv", srv)
		f(t, tree, tree.Context())
	})
}

func start(t *testing.T, tree *proctest.Tree, path string, init proc.Init) {
	t.Helper()
	if err := tree.Start(path, init); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error is %v, want %v", err, w)
		}
	}
}

func notesOf(t *testing.T, ctx context.Context) []string {
	t.Helper()
	return must[[]string](t)(Notes.Call(ctx, Srv, proc.None{}))
}

func TestGS1ACallThatTimesOutLeavesTheServerUntouched(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := Sleep.Call(short, Srv, 200*time.Millisecond)
		wantErr(t, err, proc.ErrTimeout, context.DeadlineExceeded)
		if took := time.Since(begun); took != 100*time.Millisecond {
			t.Errorf("timed out after %v", took)
		}
		// The late reply goes to nobody: not to the next call.
		if got := must[string](t)(Echo.Call(ctx, Srv, "next")); got != "next" {
			t.Errorf("the next call was answered with %q", got)
		}
	})
}

func TestGS2TheRequestOfATimedOutCallIsStillExecuted(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err := Sleep.Call(short, Srv, 200*time.Millisecond)
		wantErr(t, err, proc.ErrTimeout)
		if got := notesOf(t, ctx); !slices.Equal(got, []string{"slept"}) {
			t.Errorf("the server did %q", got)
		}
	})
}

func TestGS3ACallWaitsFiveSecondsOrForever(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		begun := time.Now()
		_, err := Sleep.Call(ctx, Srv, 6*time.Second)
		wantErr(t, err, proc.ErrTimeout)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("timed out after %v", took)
		}
		if _, err := Sleep.Call(proc.Forever(ctx), Srv, time.Hour); err != nil {
			t.Errorf("forever: %v", err)
		}
	})
}

func TestGS4ACallToNobodyIsNoProcAtOnce(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		begun := time.Now()
		for _, to := range []proc.Target{proc.Name("nobody"), proc.Name("/nobody"), proc.Addr{}} {
			_, err := Echo.Call(ctx, to, "hello")
			wantErr(t, err, proc.ErrNoProc)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestGS5AServerThatEndsDuringACallEndsTheCallWithItsReason(t *testing.T) {
	for how, want := range map[string]proc.Class{"normal": proc.Normal, "shutdown": proc.Shutdown, "broken": proc.Abnormal} {
		story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
			begun := time.Now()
			result := make(chan error)
			go func() { _, err := Never.Call(ctx, Srv, proc.None{}); result <- err }()
			synctest.Wait()
			Die.Cast(ctx, Srv, how)
			err := <-result
			wantErr(t, err, proc.ErrDown)
			var call *proc.CallError
			if !errors.As(err, &call) || call.Down == nil || call.Down.Reason.Class != want || call.Down.Path != "/srv" {
				t.Errorf("%s: %+v", how, call)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: it took %v", how, took)
			}
		})
	}
}

func TestGS6AKilledServerEndsTheCallWithKilled(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		result := make(chan error)
		go func() { _, err := Never.Call(ctx, Srv, proc.None{}); result <- err }()
		synctest.Wait()
		tree.Kill("/srv")
		var call *proc.CallError
		if err := <-result; !errors.As(err, &call) || call.Down == nil || call.Down.Reason.Class != proc.Killed {
			t.Errorf("got %v", err)
		}
	})
}

func TestGS7CallingOneselfIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		var errs []error
		start(t, tree, "/me", func(s *proc.Server) error {
			if err := s.Register("me"); err != nil {
				return err
			}
			for _, to := range []proc.Target{proc.Name("me"), proc.Name("/me"), s.Self()} {
				_, err := Echo.Call(s.Context(t.Context()), to, "hello")
				errs = append(errs, err)
			}
			return nil
		})
		for _, err := range errs {
			wantErr(t, err, proc.ErrCallingSelf)
		}
	})
}

func TestGS8CastsAndCallsOfOneSenderAreHandledInOrder(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		addr := must[proc.Addr](t)(proc.WhereIs(ctx, Srv))
		var want []string
		for i := range 300 {
			to := []proc.Target{Srv, proc.Name("/srv"), addr}[i%3]
			text := fmt.Sprint(i)
			if i%50 == 49 {
				text = strings.Repeat("long", 40_000)
			}
			if i%7 == 0 {
				must[string](t)(Echo.Call(ctx, to, text))
				text = "echo " + text
			} else if err := Note.Cast(ctx, to, text); err != nil {
				t.Fatal(err)
			}
			want = append(want, text)
		}
		if got := notesOf(t, proc.Forever(ctx)); !slices.Equal(got, want) {
			t.Errorf("%d of %d came, or out of order", len(got), len(want))
		}
	})
}

func TestGS9AReplyMayComeLaterAndFromAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/later", func(s *proc.Server) error {
			Echo.HandleLater(s, func(_ context.Context, text string, from proc.From[string]) error {
				s.SendAfter(time.Second, func(context.Context) error {
					go from.Reply(text + " at last")
					return nil
				})
				return nil
			})
			return nil
		})
		begun := time.Now()
		got := must[string](t)(Echo.Call(tree.Context(), proc.Name("/later"), "hello"))
		if got != "hello at last" || time.Since(begun) != time.Second {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
	})
}

func TestGS10ARequestHasOneReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		var second bool
		gone, late := make(chan struct{}), make(chan bool)
		start(t, tree, "/twice", func(s *proc.Server) error {
			Echo.HandleLater(s, func(_ context.Context, text string, from proc.From[string]) error {
				from.Reply(text)
				second = from.Reply("again") || from.Fail(ErrNo)
				return nil
			})
			Never.HandleLater(s, func(_ context.Context, _ proc.None, from proc.From[string]) error {
				go func() {
					<-gone
					late <- from.Reply("too late")
				}()
				return nil
			})
			return nil
		})
		got := must[string](t)(Echo.Call(tree.Context(), proc.Name("/twice"), "once"))
		synctest.Wait()
		if got != "once" || second {
			t.Errorf("got %q, a second reply was taken: %v", got, second)
		}
		ctx, cancel := context.WithTimeout(tree.Context(), time.Second)
		defer cancel()
		_, err := Never.Call(ctx, proc.Name("/twice"), proc.None{})
		wantErr(t, err, proc.ErrTimeout)
		close(gone)
		if <-late {
			t.Error("a reply to a caller that has gone on was taken")
		}
	})
}

func TestGS11ACallThatIsNeverAnsweredTimesOut(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		_, err := Never.Call(ctx, Srv, proc.None{})
		wantErr(t, err, proc.ErrTimeout)
		must[string](t)(Echo.Call(ctx, Srv, "alive"))
	})
}

func TestGS12StopWithReplyTerminatesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		terminated := false
		start(t, tree, "/bank", func(s *proc.Server) error {
			Never.Handle(s, func(context.Context, proc.None) (string, error) {
				s.Stop(nil)
				return "stopped", nil
			})
			s.OnTerminate(func(_ context.Context, r proc.Reason) error {
				time.Sleep(time.Second)
				terminated = r.Class == proc.Normal
				return nil
			})
			return nil
		})
		begun := time.Now()
		got, err := Never.Call(tree.Context(), proc.Name("/bank"), proc.None{})
		if err != nil || got != "stopped" || !terminated || time.Since(begun) != time.Second {
			t.Errorf("%q, %v; terminated %v, after %v", got, err, terminated, time.Since(begun))
		}
		if down := tree.Wait("/bank"); down.Reason.Class != proc.Normal {
			t.Errorf("it ended %v", down.Reason)
		}
	})
}

func TestGS13ACastAlwaysSucceeds(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		addr := must[proc.Addr](t)(proc.WhereIs(ctx, Srv))
		tree.Kill("/srv")
		for _, to := range []proc.Targets{proc.Name("nobody"), proc.Name("/nobody"), addr, proc.Group("none"), proc.Addrs{}} {
			if err := Note.Cast(ctx, to, "hello"); err != nil {
				t.Errorf("a cast to %v: %v", to, err)
			}
		}
	})
}

func TestGS30AnAsyncCallIsAnsweredInTheMailbox(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		var got []string
		start(t, tree, "/client", func(s *proc.Server) error {
			Note.Handle(s, func(ctx context.Context, text string) error {
				return Sleep.CallAsync(ctx, Srv, time.Second, func(_ context.Context, rep string, err error) error {
					got = append(got, text+" "+rep)
					return err
				})
			})
			Notes.Handle(s, func(context.Context, proc.None) ([]string, error) { return got, nil })
			return nil
		})
		Note.Cast(ctx, proc.Name("/client"), "first")
		Note.Cast(ctx, proc.Name("/client"), "second")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		notes := must[[]string](t)(Notes.Call(ctx, proc.Name("/client"), proc.None{}))
		if !slices.Equal(notes, []string{"first slept", "second slept"}) {
			t.Errorf("got %q", notes)
		}
	})
}

func TestGS31AnAsyncCallIsAbandonedAtItsTimeout(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		outcomes := make(chan error, 2)
		err := Sleep.CallAsync(short, Srv, 2*time.Second, func(_ context.Context, _ string, err error) error {
			outcomes <- err
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, <-outcomes, proc.ErrTimeout)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(outcomes) != 0 {
			t.Error("the late reply came as well")
		}
	})
}

func TestGS32DeathAnswersAnAsyncCall(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		outcomes := make(chan error, 2)
		err := Never.CallAsync(proc.Forever(ctx), Srv, proc.None{}, func(_ context.Context, _ string, err error) error {
			outcomes <- err
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tree.Kill("/srv")
		wantErr(t, <-outcomes, proc.ErrDown)
	})
}

func TestGS33AMultiCallSaysWhoAnsweredAndWhoDidNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		member := func(wait time.Duration) proc.Init {
			return func(s *proc.Server) error {
				Echo.Handle(s, func(_ context.Context, text string) (string, error) {
					time.Sleep(wait)
					return fmt.Sprint(text, wait), nil
				})
				return s.Join("all")
			}
		}
		start(t, tree, "/slow", member(2*time.Second))
		start(t, tree, "/fast", member(time.Second))
		start(t, tree, "/late", member(time.Minute))
		ctx, cancel := context.WithTimeout(tree.Context(), 10*time.Second)
		defer cancel()
		answers := must[[]proc.Answer[string]](t)(Echo.MultiCall(ctx, proc.Group("all"), "after "))
		if len(answers) != 3 || answers[0].Reply != "after 1s" || answers[1].Reply != "after 2s" {
			t.Fatalf("got %v", answers)
		}
		wantErr(t, answers[2].Err, proc.ErrTimeout)
	})
}

func TestGS34CallersOfAStoppingServerGetItsReason(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		results := make(chan error, 10)
		if err := Sleep.CallAsync(ctx, Srv, time.Second, func(context.Context, string, error) error { return nil }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range cap(results) {
			go func() { _, err := Echo.Call(ctx, Srv, "queued"); results <- err }()
		}
		synctest.Wait()
		go tree.Stop("/srv")
		for range cap(results) {
			err := <-results
			wantErr(t, err, proc.ErrDown)
			var call *proc.CallError
			if errors.As(err, &call) && (call.Down == nil || call.Down.Reason.Class != proc.Shutdown) {
				t.Errorf("a queued call got %+v", call)
			}
		}
		tree.Wait("/srv")
	})
}

func TestGS35WhatNothingHandlesIsInfo(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		const stray proc.Cast[int] = "stray"
		if err := stray.Cast(ctx, Srv, 1); err != nil {
			t.Fatal(err)
		}
		must[string](t)(Echo.Call(ctx, Srv, "alive"))
		infos := make(chan string, 1)
		start(t, tree, "/info", func(s *proc.Server) error {
			s.HandleInfo(func(_ context.Context, method string, payload proc.Raw) error {
				infos <- fmt.Sprintf("%s %s", method, payload)
				return nil
			})
			return nil
		})
		if err := stray.Cast(ctx, proc.Name("/info"), 2); err != nil {
			t.Fatal(err)
		}
		if got := <-infos; got != "stray 2" {
			t.Errorf("info got %q", got)
		}
		const ecko proc.Call[string, string] = "ecko"
		_, err := ecko.Call(ctx, Srv, "hello")
		wantErr(t, err, proc.ErrNoMethod)
		if err == nil || !strings.Contains(err.Error(), `did you mean "echo"?`) {
			t.Errorf("no hint in %v", err)
		}
	})
}
