// Names is the name server of "Programming Erlang", section 22.1.
package main

import (
	"context"

	"github.com/supertrees/supervise/proc"
)

// Entry says where somebody is.
type Entry struct{ Name, Place string }

// The protocol of the name server.
const (
	Names    proc.Name                 = "names"
	Add      proc.Cast[Entry]          = "add"
	Find     proc.Call[string, string] = "find"
	NotFound proc.Error                = "not_found"
)

func names(s *proc.Server) error {
	places := map[string]string{}
	Add.Handle(s, func(_ context.Context, e Entry) error { places[e.Name] = e.Place; return nil })
	Find.Handle(s, func(_ context.Context, name string) (string, error) {
		place, ok := places[name]
		if !ok {
			return "", NotFound
		}
		return place, nil
	})
	return s.Register(Names)
}

func main() { proc.Main(names) }
