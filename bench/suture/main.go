// Suturebench N CHILD has github.com/thejerf/suture supervise N children, each
// a service around os/exec.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/thejerf/suture/v4"
)

type service struct{ child, id string }

// Serve runs one life of the child.
func (s service) Serve(ctx context.Context) error {
	c := exec.CommandContext(ctx, s.child, s.id)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	return c.Run()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: suturebench N CHILD")
		os.Exit(64)
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "suturebench:", err)
		os.Exit(64)
	}
	sup := suture.New("bench", suture.Spec{
		FailureThreshold: 1e12, // never give up
		FailureBackoff:   time.Nanosecond,
		EventHook:        func(suture.Event) {},
		Timeout:          30 * time.Second,
	})
	for i := range n {
		sup.Add(service{os.Args[2], strconv.Itoa(i)})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	sup.Serve(ctx)
}
