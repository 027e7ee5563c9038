package stage

import (
	"context"
	"fmt"
	"strings"

	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/tree"
)

// Settle returns when nothing is left to do: nobody starts but at a gate,
// nobody stops, and two rounds of questions to all supervisors, top-down, find
// them idle, or blocked by such a gate, while nothing happens.
func (w *World) Settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	quiet := 0
	for quiet < 2 {
		before, err := w.await(ctx)
		if err != nil {
			return err
		}
		calm, err := w.round(ctx)
		if err != nil {
			return err
		}
		if calm && w.told() == before {
			quiet++
		} else {
			quiet = 0
		}
	}
	return nil
}

// await waits until the records show nothing that must go on by itself.
func (w *World) await(ctx context.Context) (count int, err error) {
	for {
		w.mu.Lock()
		busy, count, changed := w.busy(), w.count, w.changed
		w.mu.Unlock()
		if busy == "" {
			return count, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for the tree to come to rest: %s after %v", busy, patience)
		}
	}
}

// busy names something that is under way, or is "". The lock is held.
func (w *World) busy() string {
	for at, p := range w.procs {
		switch {
		case p.stopping:
			return at + " is still stopping"
		case !p.up && !w.gatedAt(at):
			return at + " is still starting"
		}
	}
	return ""
}

// gatedAt says whether a start is blocked by its own gate or by one below it.
func (w *World) gatedAt(at string) bool {
	for path, a := range w.actors {
		if a.gated && a.shown && w.procs[path] != nil && (path == at || strings.HasPrefix(path, at+"/")) {
			return true
		}
	}
	return false
}

// round asks every supervisor what it is doing. Asking also makes it look for
// children that have ended.
func (w *World) round(ctx context.Context) (calm bool, err error) {
	calm = true
	for _, at := range append([]string{"/"}, w.running()...) {
		a, err := w.node.Ask(ctx, node.Request{Verb: node.Ping, Path: at}, nil)
		if err != nil {
			return false, fmt.Errorf("asking %s what it is doing: %w", at, err)
		}
		if a.Err != "" || a.Mode == tree.Ended || a.Busy {
			calm = false
		}
	}
	return calm, nil
}

// running lists the supervisors that have a process and are past their own gate.
func (w *World) running() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sups []string
	for at, p := range w.procs {
		if a := w.actors[at]; p.kind == tree.KindSupervisor && (a == nil || !a.gated) {
			sups = append(sups, at)
		}
	}
	return sups
}

func (w *World) told() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}
