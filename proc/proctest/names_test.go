package proctest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

type entry struct{ Name, Place string }

const (
	Names    proc.Name                 = "names"
	Add      proc.Cast[entry]          = "add"
	Find     proc.Call[string, string] = "find"
	NotFound proc.Error                = "not_found"
)

func names(s *proc.Server) error {
	places := map[string]string{}
	Add.Handle(s, func(_ context.Context, e entry) error { places[e.Name] = e.Place; return nil })
	Find.Handle(s, func(_ context.Context, name string) (string, error) {
		place, ok := places[name]
		if !ok {
			return "", NotFound
		}
		return place, nil
	})
	return s.Register(Names)
}

func TestANameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		if err := tree.Start("/names", names); err != nil {
			t.Fatal(err)
		}
		ctx := tree.Context()
		if err := Add.Call(ctx, Names, entry{"Joe", "At Home"}); err != nil {
			t.Fatal(err)
		}
		if place, err := Find.Call(ctx, Names, "Joe"); err != nil || place != "At Home" {
			t.Errorf("Joe is %q, %v", place, err)
		}
		if _, err := Find.Call(ctx, Names, "Bob"); !errors.Is(err, NotFound) {
			t.Errorf("Bob: %v", err)
		}
		tree.Kill("/names")
		if _, err := Find.Call(ctx, Names, "Joe"); !errors.Is(err, proc.ErrNoProc) {
			t.Errorf("after a kill: %v", err)
		}
		if err := tree.Start("/names", names); err != nil {
			t.Fatal(err)
		}
		if _, err := Find.Call(ctx, Names, "Joe"); !errors.Is(err, NotFound) {
			t.Errorf("the next life knows Joe: %v", err)
		}
	})
}
