package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestABlockedWorkerDoesNotDisturbItsNeighbour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		release := make(chan struct{})
		defer close(release) // in a process of its own, KILL ends it
		for path, init := range map[string]proc.Init{"/bad": bad(func() { <-release }), "/good": good} {
			if err := tree.Start(path, init); err != nil {
				t.Fatal(err)
			}
		}
		ctx := tree.Context()
		if err := Block.Cast(ctx, Bad, proc.None{}); err != nil {
			t.Fatal(err)
		}
		for range 10 << 20 / (64 << 10) { // 10 MB that nobody takes
			if err := Load.Cast(ctx, Bad, make(proc.Raw, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := Load.Call(short, Bad, nil); !errors.Is(err, proc.ErrTimeout) {
			t.Errorf("a call to the blocked one: %v", err)
		}
		begun := time.Now()
		n, err := Ticks.Call(ctx, Good, proc.None{})
		if err != nil || n < 9 || n > 10 || time.Since(begun) != 0 {
			t.Errorf("its neighbour ticked %d times in 1 s: %v, after %v", n, err, time.Since(begun))
		}
	})
}
