package main

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		ctx := tree.Context()
		web, db := service("web", "http://localhost:8080"), service("db", "postgres://localhost:5432")
		for path, init := range map[string]proc.Init{"/web": web, "/db": db} {
			if err := tree.Start(path, init); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[proc.Name]string{"web": "http://localhost:8080", "db": "postgres://localhost:5432"} {
			if url, err := URL.Call(ctx, name, proc.None{}); err != nil || url != want {
				t.Errorf("%s is at %q, %v", name, url, err)
			}
		}
		if names, err := proc.Registered(ctx); err != nil || !slices.Equal(names, []proc.Name{"db", "web"}) {
			t.Errorf("the names are %v, %v", names, err)
		}
		if err := tree.Start("/second", web); !errors.Is(err, proc.ErrAlreadyRegistered) {
			t.Errorf("a second web: %v", err)
		}
		if _, err := proc.WhereIs(ctx, proc.Name("mail")); !errors.Is(err, proc.ErrNoProc) {
			t.Errorf("mail: %v", err)
		}
		before, err := proc.WhereIs(ctx, proc.Name("web"))
		if err != nil {
			t.Fatal(err)
		}
		tree.Kill("/web")
		if _, err := proc.WhereIs(ctx, proc.Name("web")); !errors.Is(err, proc.ErrNoProc) {
			t.Errorf("between two lives: %v", err)
		}
		if err := tree.Start("/web", web); err != nil {
			t.Fatal(err)
		}
		if after, err := proc.WhereIs(ctx, proc.Name("web")); err != nil || after == before {
			t.Errorf("the next life is at %v, %v; the last was at %v", after, err, before)
		}
	})
}
