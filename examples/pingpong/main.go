// Pingpong is two workers that answer each other, each knowing only the
// address that came with the message.
package main

import (
	"context"
	"os"

	"github.com/supertrees/supervise/proc"
)

// Ball goes from one to the other.
type Ball struct {
	From proc.Addr // who hit it last
	N    int
}

// The protocol of both.
const (
	Consumer proc.Name                 = "consumer"
	Ping     proc.Cast[Ball]           = "ping"
	Pong     proc.Cast[Ball]           = "pong"
	Hits     proc.Call[proc.None, int] = "hits"
)

// consumer answers every ping.
func consumer(s *proc.Server) error {
	Ping.Handle(s, func(ctx context.Context, b Ball) error {
		return Pong.Cast(ctx, b.From, Ball{s.Self(), b.N + 1})
	})
	return s.Register(Consumer)
}

// producer serves, and serves again whenever there is a new consumer.
func producer(s *proc.Server) error {
	hits := 0
	Pong.Handle(s, func(ctx context.Context, b Ball) error {
		hits++
		return Ping.Cast(ctx, b.From, Ball{s.Self(), b.N + 1})
	})
	Hits.Handle(s, func(context.Context, proc.None) (int, error) { return hits, nil })
	var serve func(context.Context) error
	serve = func(ctx context.Context) error {
		s.Monitor(Consumer, func(context.Context, proc.Down) error {
			s.SendAfter(retry, serve)
			return nil
		})
		return Ping.Cast(ctx, Consumer, Ball{s.Self(), 0})
	}
	s.Continue(serve)
	return nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "consumer" {
		proc.Main(consumer)
	}
	proc.Main(producer)
}
