package main

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		if err := tree.Start("/names", names); err != nil {
			t.Fatal(err)
		}
		ctx := tree.Context()
		if err := Add.Call(ctx, Names, Entry{"Joe", "At Home"}); err != nil {
			t.Fatal(err)
		}
		if place, err := Find.Call(ctx, Names, "Joe"); err != nil || place != "At Home" {
			t.Errorf("Joe is %q, %v", place, err)
		}
		if _, err := Find.Call(ctx, Names, "Bob"); !errors.Is(err, NotFound) {
			t.Errorf("Bob: %v", err)
		}

		// What it knows is lost with its life; the name is not.
		tree.Kill("/names")
		if _, err := Find.Call(ctx, Names, "Joe"); !errors.Is(err, proc.ErrNoProc) {
			t.Errorf("between two lives: %v", err)
		}
		if err := tree.Start("/names", names); err != nil {
			t.Fatal(err)
		}
		if _, err := Find.Call(ctx, Names, "Joe"); !errors.Is(err, NotFound) {
			t.Errorf("the next life: %v", err)
		}
	})
}
