package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var interval *proc.Timer
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			interval = s.SendInterval(100*time.Millisecond, func(context.Context) error { note("tick"); return nil })
			s.SendAfter(150*time.Millisecond, func(context.Context) error { note("once"); return nil })
			s.SendAfter(150*time.Millisecond, func(context.Context) error { note("never"); return nil }).Cancel()
			return nil
		})
		time.Sleep(300 * time.Millisecond)
		wantNotes(t, notes(), "tick", "once", "tick", "tick")
		if !interval.Cancel() || interval.Cancel() {
			t.Error("Cancel does not say whether it stopped the timer")
		}
		time.Sleep(time.Second)
		wantNotes(t, notes())

		// A tick that waits is not doubled, and one that waits when it is
		// cancelled does not run.
		tree.Stop("/srv")
		tree, notes = server(t, func(s *proc.Server, note func(string)) error {
			interval = s.SendInterval(100*time.Millisecond, func(context.Context) error { note("tick"); return nil })
			return nil
		})
		must[string](t)(Sleep.Call(tree.Context(), Srv, time.Second+50*time.Millisecond))
		wantNotes(t, notes(), "tick")
		go Sleep.Call(tree.Context(), Srv, 120*time.Millisecond)
		time.Sleep(110 * time.Millisecond)
		interval.Cancel()
		time.Sleep(time.Second)
		wantNotes(t, notes())
	})
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		heard := make(chan string, 100)
		member := func(name string) proc.Init {
			return func(s *proc.Server) error {
				Note.Handle(s, func(_ context.Context, text string) error { heard <- name + " " + text[:2]; return nil })
				Echo.Handle(s, func(_ context.Context, text string) (string, error) { return name, s.Leave("room") })
				return s.Join("room")
			}
		}
		for _, name := range []string{"a", "b", "c"} {
			start(t, tree, "/"+name, member(name))
		}
		tree.Kill("/b")
		for _, text := range []string{"hi", strings.Repeat("long", 50_000)} {
			if err := Note.Cast(tree.Context(), proc.Group("room"), text); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			got := []string{<-heard, <-heard}
			slices.Sort(got)
			if want := []string{"a " + text[:2], "c " + text[:2]}; !slices.Equal(got, want) || len(heard) != 0 {
				t.Errorf("heard %q and %d more", got, len(heard))
			}
		}
		must[string](t)(Echo.Call(tree.Context(), proc.Name("/a"), ""))
		if members := must[proc.Addrs](t)(proc.Members(tree.Context(), "room")); len(members) != 1 {
			t.Errorf("the members are %v", members)
		}
	})
}

func TestNamesAreFoundListedAndGivenBack(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		start(t, tree, "/other", func(s *proc.Server) error {
			wantErr(t, s.Register(Srv), proc.ErrAlreadyRegistered)
			wantErr(t, s.Register("/path"), proc.ErrBadRequest)
			wantErr(t, s.Unregister(Srv), nil)
			if err := s.Register("a"); err != nil {
				return err
			}
			if err := s.Register("b"); err != nil {
				return err
			}
			return s.Unregister("a")
		})
		if names := must[[]proc.Name](t)(proc.Registered(ctx)); !slices.Equal(names, []proc.Name{"b", Srv}) {
			t.Errorf("the names are %v", names)
		}
		before := must[proc.Addr](t)(proc.WhereIs(ctx, Srv))
		tree.Kill("/srv")
		_, err := proc.WhereIs(ctx, Srv)
		wantErr(t, err, proc.ErrNoProc)
		start(t, tree, "/srv", srv)
		if after := must[proc.Addr](t)(proc.WhereIs(ctx, Srv)); after == before {
			t.Error("two lives have one address")
		}
	})
}

func TestALifeHasAThousandNamesAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/greedy", func(s *proc.Server) error {
			for i := range 1024 {
				if err := s.Register(proc.Name(fmt.Sprint("n", i))); err != nil {
					return err
				}
			}
			wantErr(t, s.Register("one more"), proc.ErrNotPermitted)
			if err := s.Unregister("n7"); err != nil {
				return err
			}
			return s.Register("one more")
		})
	})
}

func TestACallerWhoGivesUpCancelsTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		errs := make(chan error, 2)
		start(t, tree, "/srv", func(s *proc.Server) error {
			Never.HandleLater(s, func(ctx context.Context, _ proc.None, _ proc.From[string]) error {
				nested, cancel := context.WithTimeout(ctx, time.Hour)
				go func() { defer cancel(); <-nested.Done(); errs <- ctx.Err() }()
				return nil
			})
			return nil
		})
		ctx, cancel := context.WithCancel(tree.Context())
		result := make(chan error)
		go func() { _, err := Never.Call(proc.Forever(ctx), proc.Name("/srv"), proc.None{}); result <- err }()
		synctest.Wait()
		cancel()
		wantErr(t, <-result, proc.ErrCanceled, context.Canceled)
		wantErr(t, <-errs, context.Canceled)

		// The deadline travels along.
		start(t, tree, "/deadline", func(s *proc.Server) error {
			Echo.Handle(s, func(ctx context.Context, _ string) (string, error) {
				by, ok := ctx.Deadline()
				return fmt.Sprint(ok, time.Until(by)), nil
			})
			return nil
		})
		if got := must[string](t)(Echo.Call(tree.Context(), proc.Name("/deadline"), "")); got != "true 5s" {
			t.Errorf("the handler has %s", got)
		}
	})
}

func TestACodeIsAboutThisCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/front", func(s *proc.Server) error {
			Echo.Handle(s, func(ctx context.Context, how string) (string, error) {
				_, err := Echo.Call(ctx, proc.Name("nobody"), "")
				switch how {
				case "wrapped":
					err = fmt.Errorf("asking the back: %w", err)
				case "bare":
					err = proc.ErrNoProc
				case "own":
					err = fmt.Errorf("no such thing: %w", ErrNo)
				}
				return "", err
			})
			return nil
		})
		for _, how := range []string{"as it is", "wrapped", "bare", "own"} {
			_, err := Echo.Call(tree.Context(), proc.Name("/front"), how)
			if err == nil || errors.Is(err, proc.ErrNoProc) || errors.Is(err, ErrNo) != (how == "own") {
				t.Errorf("%s: %v", how, err)
			}
		}
	})
}

func TestThousandsOfCallsThroughAWindow(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		var wg sync.WaitGroup
		var wrong atomic.Int32
		for i := range 3000 {
			wg.Go(func() {
				text := fmt.Sprint(i)
				if got, err := Echo.Call(ctx, Srv, text); err != nil || got != text {
					wrong.Add(1)
				}
			})
		}
		wg.Wait()
		if n := wrong.Load(); n != 0 {
			t.Errorf("%d calls went wrong", n)
		}
	})
}

func TestACallThatWaitsForRoomInTheWindowGivesUpInTime(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		held, release := context.WithCancel(proc.Forever(ctx))
		defer release()
		for range 1024 {
			go Never.Call(held, Srv, proc.None{})
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := Echo.Call(short, Srv, "")
		wantErr(t, err, proc.ErrTimeout)
		if _, err := proc.WhereIs(short, Srv); err == nil {
			t.Error("a second call past the window")
		}
		mon := tree.Client().Monitor(Srv, func(context.Context, proc.Down) error { return nil }) // not counted
		mon.Cancel()
		release()
		must[string](t)(Echo.Call(ctx, Srv, ""))
	})
}

func TestAKilledCalleeAnswersAThousandCallersOnce(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		var down atomic.Int32
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := Never.Call(ctx, Srv, proc.None{}); errors.Is(err, proc.ErrDown) {
					down.Add(1)
				}
			})
		}
		synctest.Wait()
		tree.Kill("/srv")
		wg.Wait()
		if n := down.Load(); n != 1000 {
			t.Errorf("%d of 1000 calls ended with down", n)
		}
		if n := tree.Open(); n != 0 {
			t.Errorf("%d calls are still open in the tree", n)
		}
	})
}

func TestLargeMessagesBothWays(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		text := strings.Repeat("x", 900_000)
		if got := must[string](t)(Echo.Call(ctx, Srv, text)); got != text {
			t.Errorf("%d bytes came back", len(got))
		}
		_, err := Echo.Call(ctx, Srv, strings.Repeat("x", 1<<20))
		wantErr(t, err, proc.ErrTooLarge)
		_, err = Echo.Call(ctx, Srv, strings.Repeat("x", 17<<20))
		wantErr(t, err, proc.ErrTooLarge)
		must[string](t)(Echo.Call(ctx, Srv, "alive"))
	})
}

func TestConcurrentHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/pool", func(s *proc.Server) error {
			s.Concurrent(4)
			Sleep.Handle(s, func(_ context.Context, d time.Duration) (string, error) { time.Sleep(d); return "", nil })
			return nil
		})
		begun := time.Now()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { must[string](t)(Sleep.Call(tree.Context(), proc.Name("/pool"), time.Second)) })
		}
		wg.Wait()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("8 handlers of 1 s, 4 at once, took %v", took)
		}
	})
}

func TestAStreamIsHandledInOrderAndPulledOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errStop := errors.New("stop here")
		pulled := 0
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			proc.Listen(s, func(yield func(int) bool) {
				for i := 1; i <= 5; i++ {
					pulled++
					if !yield(i) {
						return
					}
				}
			}, func(_ context.Context, i int) error {
				note(fmt.Sprint(i))
				if i == 3 {
					return errStop
				}
				return nil
			})
			return nil
		})
		wantNotes(t, notes(), "1", "2", "3")
		if pulled != 3 {
			t.Errorf("%d items were pulled", pulled)
		}
		must[string](t)(Sleep.Call(tree.Context(), Srv, 0))
	})
}

func TestGoAndDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv *proc.Server
		done := make(chan error, 1)
		tree, _ := server(t, func(s *proc.Server, _ func(string)) error {
			srv = s
			n := 0
			s.Go(func(ctx context.Context) error {
				err := s.Do(ctx, func(context.Context) error { n++; return ErrNo })
				done <- err
				<-ctx.Done()
				return nil
			})
			Echo.Handle(s, func(ctx context.Context, _ string) (string, error) {
				return fmt.Sprint(n), s.Do(ctx, func(context.Context) error { return nil })
			})
			return nil
		})
		wantErr(t, <-done, ErrNo)
		_, err := Echo.Call(tree.Context(), Srv, "")
		if err == nil || !strings.Contains(err.Error(), string(proc.ErrCallingSelf)) {
			t.Errorf("Do from a handler: %v", err)
		}
		tree.Stop("/srv")
		if err := srv.Do(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, proc.ErrDown) {
			t.Errorf("Do after the end: %v", err)
		}

		// The end of a function beside is the worker's.
		start(t, tree, "/short", func(s *proc.Server) error {
			s.Go(func(context.Context) error { return errBroken })
			return nil
		})
		if d := tree.Wait("/short"); d.Reason != (proc.Reason{Class: proc.Abnormal, Detail: "broken"}) {
			t.Errorf("it ended %v", d.Reason)
		}
		start(t, tree, "/panics", func(s *proc.Server) error {
			s.Go(func(context.Context) error { panic("beside") })
			return nil
		})
		if d := tree.Wait("/panics"); d.Reason.Class != proc.Abnormal {
			t.Errorf("it ended %v", d.Reason)
		}
	})
}

func TestSuspendedCallsWaitAndStopIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := map[string]int{"a": 1}
		tree, _ := server(t, func(s *proc.Server, _ func(string)) error { proc.State(s, &state); return nil })
		ctx := tree.Context()
		const (
			suspend proc.Call[proc.None, proc.None]       = "$sys.suspend"
			resume  proc.Call[proc.None, proc.None]       = "$sys.resume"
			get     proc.Call[proc.None, map[string]int]  = "$sys.get_state"
			replace proc.Call[any, map[string]int]        = "$sys.replace_state"
			ping    proc.Call[map[string]bool, proc.None] = "$ping"
			stats   proc.Call[proc.None, proc.Statistics] = "$sys.statistics"
		)
		must[proc.None](t)(suspend.Call(ctx, Srv, proc.None{}))
		_, err := Sleep.Call(ctx, Srv, 0)
		wantErr(t, err, proc.ErrTimeout)
		must[proc.None](t)(ping.Call(ctx, Srv, nil))
		_, err = ping.Call(ctx, Srv, map[string]bool{"mailbox": true})
		wantErr(t, err, proc.ErrTimeout)
		if got := must[map[string]int](t)(replace.Call(ctx, Srv, map[string]int{"b": 2})); got["b"] != 2 {
			t.Errorf("the state is %v", got)
		}
		_, err = replace.Call(ctx, Srv, "no map")
		wantErr(t, err, proc.ErrBadRequest)
		if got := must[map[string]int](t)(get.Call(ctx, Srv, proc.None{})); got["b"] != 2 || len(got) != 1 {
			t.Errorf("the state is %v", got)
		}
		if st := must[proc.Statistics](t)(stats.Call(ctx, Srv, proc.None{})); st.In != 1 || st.Mailbox != 2 {
			t.Errorf("statistics are %+v", st)
		}
		must[proc.None](t)(resume.Call(ctx, Srv, proc.None{}))
		must[string](t)(Sleep.Call(ctx, Srv, 0))
		if st := must[proc.Statistics](t)(stats.Call(ctx, Srv, proc.None{})); st.Handled != 2 || st.Expired != 1 {
			t.Errorf("statistics are %+v", st)
		}
		must[proc.None](t)(suspend.Call(ctx, Srv, proc.None{}))
		tree.Stop("/srv")
	})
}

func TestAWorkerMayNotMeddleWithAnother(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		const (
			stop    proc.Cast[proc.None]            = "$stop"
			suspend proc.Call[proc.None, proc.None] = "$sys.suspend"
		)
		start(t, tree, "/bad", func(s *proc.Server) error {
			ctx := s.Context(t.Context())
			if err := stop.Cast(ctx, Srv, proc.None{}); err != nil {
				return err
			}
			_, err := suspend.Call(ctx, Srv, proc.None{})
			wantErr(t, err, proc.ErrNotPermitted)
			return nil
		})
		must[string](t)(Echo.Call(ctx, Srv, "alive"))
	})
}

func TestAPayloadThatDoesNotFit(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		const (
			number proc.Call[int, string]      = "echo"
			back   proc.Call[string, int]      = "echo"
			bytesC proc.Call[proc.Raw, string] = "echo"
		)
		_, err := number.Call(ctx, Srv, 7)
		wantErr(t, err, proc.ErrBadRequest)
		_, err = back.Call(ctx, Srv, "no number")
		wantErr(t, err, proc.ErrBadReply)
		_, err = bytesC.Call(ctx, Srv, proc.Raw{0xff})
		wantErr(t, err, proc.ErrBadRequest)
		start(t, tree, "/raw", func(s *proc.Server) error {
			EchoRaw.Handle(s, func(_ context.Context, b proc.Raw) (proc.Raw, error) { return bytes.ToUpper(b), nil })
			return nil
		})
		if got := must[proc.Raw](t)(EchoRaw.Call(ctx, proc.Name("/raw"), proc.Raw("abc"))); string(got) != "ABC" {
			t.Errorf("raw bytes came back as %q", got)
		}
	})
}
