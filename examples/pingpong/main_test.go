package main

import (
	"testing"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// In real time: the ball never rests, so a bubble would not either.
func TestPingPong(t *testing.T) {
	tree := proctest.New(t)
	for path, init := range map[string]proc.Init{"/consumer": consumer, "/producer": producer} {
		if err := tree.Start(path, init); err != nil {
			t.Fatal(err)
		}
	}
	hits := func() int {
		t.Helper()
		n, err := Hits.Call(tree.Context(), proc.Name("/producer"), proc.None{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	until := func(want int) {
		t.Helper()
		for hits() < want && t.Context().Err() == nil {
		}
	}
	until(1000)

	// Without a consumer the producer waits; with the next one it goes on.
	tree.Kill("/consumer")
	if err := tree.Start("/consumer", consumer); err != nil {
		t.Fatal(err)
	}
	until(hits() + 1000)
}
