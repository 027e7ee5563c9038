// Goworker is a worker in Go: goworker NAME. It registers NAME, counts, echoes,
// and asks others, as its siblings in other languages do.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/supertrees/supervise/proc"
)

// Question is what to ask whom.
type Question struct {
	To     proc.Name       `json:"to"`
	Method string          `json:"method"`
	Value  json.RawMessage `json:"value"`
}

// The protocol of all of them. What is here a call may be cast, too.
const (
	Echo       proc.Call[json.RawMessage, json.RawMessage] = "echo"
	Add        proc.Call[json.RawMessage, int]             = "add"
	Total      proc.Call[proc.None, int]                   = "total"
	Ask        proc.Call[Question, json.RawMessage]        = "ask"
	Tell       proc.Cast[Question]                         = "tell"
	Quit       proc.Call[proc.None, string]                = "quit"
	Crash      proc.Cast[string]                           = "crash"
	NotANumber proc.Error                                  = "not_a_number"
)

func worker(s *proc.Server) error {
	total := 0
	Echo.Handle(s, func(_ context.Context, v json.RawMessage) (json.RawMessage, error) { return v, nil })
	Add.Handle(s, func(_ context.Context, v json.RawMessage) (int, error) {
		n := 0
		if json.Unmarshal(v, &n) != nil {
			return 0, NotANumber
		}
		total += n
		return total, nil
	})
	Total.Handle(s, func(context.Context, proc.None) (int, error) { return total, nil })
	Ask.Handle(s, func(ctx context.Context, q Question) (json.RawMessage, error) {
		return proc.Call[json.RawMessage, json.RawMessage](q.Method).Call(ctx, q.To, q.Value)
	})
	Tell.Handle(s, func(ctx context.Context, q Question) error {
		return proc.Cast[json.RawMessage](q.Method).Cast(ctx, q.To, q.Value)
	})
	Quit.Handle(s, func(context.Context, proc.None) (string, error) { s.Stop(nil); return "bye", nil })
	Crash.Handle(s, func(_ context.Context, why string) error { panic(why) })
	return s.Register(proc.Name(os.Args[1]))
}

func main() { proc.Main(worker) }
