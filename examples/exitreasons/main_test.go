package main

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// What needs a process of its own, exit and signals, is not tried here.
func TestExitReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		ctx := tree.Context()
		if err := tree.Start("/watcher", watcher); err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"normal", "shutdown", "error", "panic", "stop", "kill"} {
			if err := tree.Start("/mortal", mortal); err != nil {
				t.Fatal(err)
			}
			addr, err := proc.WhereIs(ctx, Mortal)
			if err != nil {
				t.Fatal(err)
			}
			if err := Watch.Call(ctx, proc.Name("/watcher"), addr); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			switch how {
			case "stop":
				tree.Stop("/mortal")
			case "kill":
				tree.Kill("/mortal")
			default:
				if err := End.Cast(ctx, Mortal, how); err != nil {
					t.Fatal(err)
				}
			}
			tree.Wait("/mortal")
		}
		synctest.Wait()
		got, err := Reasons.Call(ctx, proc.Name("/watcher"), proc.None{})
		want := []string{
			"normal", "shutdown", "abnormal (something broke)", "abnormal (panic in end: boom)", "shutdown", "killed",
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("the reasons were %q, %v, want %q", got, err, want)
		}
	})
}
