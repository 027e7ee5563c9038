// Exitreasons is a worker that ends in every way there is, and one who watches.
package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/supertrees/supervise/proc"
)

// The protocol of both.
const (
	Mortal  proc.Name                      = "mortal"
	End     proc.Cast[string]              = "end"
	Reasons proc.Call[proc.None, []string] = "reasons"
)

var errBroken = errors.New("something broke")

func mortal(s *proc.Server) error {
	End.Handle(s, func(_ context.Context, how string) error {
		switch how {
		case "normal":
			s.Stop(nil)
		case "shutdown":
			s.Stop(proc.ErrShutdown)
		case "error":
			s.Stop(errBroken)
		case "panic":
			panic("boom")
		case "exit":
			os.Exit(7)
		case "signal":
			return syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		}
		return nil
	})
	return s.Register(Mortal)
}

// watcher keeps the reasons of everyone who was called mortal.
func watcher(s *proc.Server) error {
	var reasons []string
	watch := func(ctx context.Context, addr proc.Addr) error {
		s.Monitor(addr, func(_ context.Context, d proc.Down) error {
			reasons = append(reasons, d.Reason.String())
			return nil
		})
		return nil
	}
	Watch.Handle(s, watch)
	Reasons.Handle(s, func(context.Context, proc.None) ([]string, error) { return reasons, nil })
	return nil
}

// Watch asks the watcher to watch somebody.
const Watch proc.Cast[proc.Addr] = "watch"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "watcher" {
		proc.Main(watcher)
	}
	proc.Main(mortal)
}
