package main

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		ctx := tree.Context()
		start := func(path string, init proc.Init) {
			t.Helper()
			if err := tree.Start(path, init); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		want := func(what proc.Call[proc.None, []string], to proc.Name, want ...string) {
			t.Helper()
			synctest.Wait()
			if got, err := what.Call(ctx, to, proc.None{}); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s of %s: %q, %v, want %q", what, to, got, err, want)
			}
		}
		say := func(l Line) {
			t.Helper()
			if err := Say.Call(ctx, Room, l); err != nil {
				t.Error(err)
			}
		}
		start("/room", room)
		start("/west/alice", member("Alice"))
		start("/east/bob", member("Bob"))
		want(Members, Room, "Alice", "Bob")
		say(Line{From: "Alice", Text: "Hello everyone!"})
		say(Line{From: "Bob", To: "Alice", Text: "Hey Alice!"})
		want(Heard, "/east/bob", "Alice: Hello everyone!")
		want(Heard, "/west/alice", "Bob: Hey Alice!")

		tree.Kill("/east/bob")
		want(Members, Room, "Alice")
		start("/east/bob", member("Bob"))
		want(Members, Room, "Alice", "Bob")
	})
}
