package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/sdnotify"
)

// handOn is what the sentinel does with what the root says to whoever
// supervises this tree; nil where nobody does. The first message that cannot
// be handed on is reported.
func handOn(report func(string)) func([]byte) {
	relay, err := sdnotify.NewRelay(os.Getenv)
	if err != nil {
		report(err.Error())
		return nil
	}
	if relay == nil {
		return nil
	}
	failed := false
	return func(message []byte) {
		if err := relay.Send(message); err != nil && !failed {
			failed = true
			report(err.Error())
		}
	}
}

// sentinelLink is the root's end of the link to its sentinel.
func sentinelLink() *os.File {
	_ = unix.SetNonblock(child.RootLink, true) // else the wait for its end costs a thread
	return os.NewFile(child.RootLink, "sentinel")
}

// tellUpwards begins to tell systemd how the tree does; nil where nobody asked.
func (r *runner) tellUpwards(link *os.File) *sdnotify.Upward {
	wanted, watchdog := sdnotify.Wanted(os.Getenv)
	if !wanted {
		return nil
	}
	return sdnotify.New(sdnotify.Options{
		Store:    r.store,
		Send:     func(message string) error { _, err := link.WriteString(message); return err },
		Watchdog: watchdog,
		Post:     r.node.Post,
		Report:   func(err error) { r.log.Warn("telling systemd how the tree does", "error", err) },
	})
}
