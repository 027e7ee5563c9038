package proc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
)

func TestAMachine(t *testing.T) {
	type state string
	const (
		locked, open state                        = "locked", "open"
		Button       proc.Call[int, string]       = "button"
		Enter        proc.Call[proc.None, string] = "enter"
	)
	synctest.Test(t, func(t *testing.T) {
		tree, notes := server(t, func(s *proc.Server, note func(string)) error {
			m := proc.NewMachine(s, locked)
			for _, in := range []state{locked, open} {
				m.OnEnter(in, func(context.Context) error { note("enter " + string(in)); return nil })
			}
			Button.Handle(m.In(locked), func(_ context.Context, n int) (string, error) {
				if n != 42 {
					return "wrong", nil
				}
				m.Next(open)
				m.StateTimeout(10*time.Second, func(context.Context) error { m.Next(locked); return nil })
				return "open", nil
			})
			Button.Handle(s, func(_ context.Context, n int) (string, error) { return "is open", nil })
			Enter.Handle(m.In(locked), func(context.Context, proc.None) (string, error) { return "", m.Postpone() })
			Enter.Handle(m.In(open), func(context.Context, proc.None) (string, error) { return "entered", nil })
			return nil
		})
		ctx := tree.Context()
		entered := make(chan string, 1)
		go func() { entered <- must[string](t)(Enter.Call(ctx, Srv, proc.None{})) }()
		synctest.Wait()
		for i, want := range []string{"wrong", "open", "is open"} {
			if got := must[string](t)(Button.Call(ctx, Srv, []int{1, 42, 3}[i])); got != want {
				t.Errorf("button %d: %s, want %s", i, got, want)
			}
		}
		if got := <-entered; got != "entered" {
			t.Errorf("the postponed call got %q", got)
		}
		time.Sleep(10 * time.Second)
		wantNotes(t, notes(), "enter locked", "enter open", "enter locked")
	})
}

func TestAnAgentsSteps(t *testing.T) {
	type step int
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		_, notes := server(t, func(s *proc.Server, note func(string)) error {
			m := proc.NewMachine(s, step(0))
			m.Do(0, func(context.Context) (step, error) { note("connect"); return 1, nil }, nil)
			m.Do(1, func(context.Context) (step, error) {
				if tries++; tries < 3 {
					return 0, errBroken
				}
				return 2, nil
			}, func(err error) (step, error) { note(err.Error()); return 1, nil })
			m.OnEnter(2, func(context.Context) error { note("connected"); return nil })
			return nil
		})
		wantNotes(t, notes(), "connect", "broken", "broken", "connected")
	})
}
