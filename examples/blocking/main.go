// Blocking is a worker whose handler never returns, and a neighbour that does
// not notice.
package main

import (
	"context"
	"os"
	"time"

	"github.com/supertrees/supervise/proc"
)

// The protocol of both.
const (
	Bad   proc.Name                 = "bad"
	Good  proc.Name                 = "good"
	Block proc.Cast[proc.None]      = "block"
	Load  proc.Cast[proc.Raw]       = "load"
	Ticks proc.Call[proc.None, int] = "ticks"
)

// every is the good one's tick.
const every = 100 * time.Millisecond

// bad blocks when it is told to.
func bad(block func()) proc.Init {
	return func(s *proc.Server) error {
		Block.Handle(s, func(context.Context, proc.None) error { block(); return nil })
		Load.Handle(s, func(context.Context, proc.Raw) error { return nil })
		return s.Register(Bad)
	}
}

func good(s *proc.Server) error {
	n := 0
	s.SendInterval(every, func(context.Context) error { n++; return nil })
	Ticks.Handle(s, func(context.Context, proc.None) (int, error) { return n, nil })
	return s.Register(Good)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bad" {
		proc.Main(bad(func() { select {} }))
	}
	proc.Main(good)
}
