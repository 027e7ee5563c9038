package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// statusEvery is how often the status is told at most. It is told at a change
// only: a tree at rest wakes nobody.
const statusEvery = time.Second

// closeBound is how long the last word may take.
const closeBound = time.Second

// Upward tells how a tree does. Its own goroutines do the writing, so that who
// does not read holds up nobody else.
type Upward struct {
	send  func(message string) error
	store *journal.Store
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu   sync.Mutex
	said word
}

// word is what was said last.
type word struct {
	ready, stopping bool
	status          string
}

// Options says what an Upward tells of, and to whom.
type Options struct {
	// Store is where the state of the tree is read.
	Store *journal.Store
	// Send hands one message up.
	Send func(message string) error
	// Watchdog is the time within which a WATCHDOG=1 is wanted; 0: none is.
	Watchdog time.Duration
	// Post runs a function on the root's loop: a beat comes from there.
	Post func(func())
	// Report is told, once, that nothing can be sent.
	Report func(error)
}

// New begins to tell.
func New(o Options) *Upward {
	ctx, stop := context.WithCancel(context.Background())
	send := o.Send
	var once sync.Once
	u := &Upward{store: o.Store, stop: stop, send: func(m string) error {
		err := send(m)
		if err != nil {
			once.Do(func() { o.Report(err) })
		}
		return err
	}}
	u.done.Go(func() { u.follow(ctx) })
	if o.Watchdog > 0 {
		go u.beat(ctx, o.Watchdog/2, o.Post) // may be held up by a root that hangs: nobody waits for it
	}
	return u
}

// Close says STOPPING=1 if that was not said yet. It waits at most closeBound.
func (u *Upward) Close() {
	u.stop()
	told := make(chan struct{})
	go func() {
		u.done.Wait()
		u.look()
		u.say(false, true, "")
		close(told)
	}()
	late := time.NewTimer(closeBound)
	defer late.Stop()
	select {
	case <-told:
	case <-late.C:
	}
}

// follow tells every change until the tree has ended.
func (u *Upward) follow(ctx context.Context) {
	for {
		since := u.store.Last()
		state := u.look()
		if u.pause(ctx, state) != nil || u.store.Follow(ctx, since) != nil {
			return
		}
	}
}

// pause lets statusEvery pass, unless the state of the whole tree changes.
func (u *Upward) pause(ctx context.Context, was journal.State) error {
	ctx, end := context.WithTimeout(ctx, statusEvery)
	defer end()
	err := u.store.Await(ctx, func(f *journal.Fold) bool {
		_, is, _ := f.State("/")
		return is != was
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// look reads the state of the tree and tells what is new.
func (u *Upward) look() journal.State {
	tree := u.store.Status("/")
	if tree == nil {
		return journal.StateDown
	}
	running := tree.State == journal.StateRunning
	u.say(running, tree.State == journal.StateStopping, Summary(tree))
	return tree.State
}

// say sends what has not been said before, in one message.
func (u *Upward) say(ready, stopping bool, status string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var lines []string
	if ready && !stopping && !u.said.ready {
		u.said.ready = true
		lines = append(lines, "READY=1")
	}
	if stopping && !u.said.stopping {
		u.said.stopping = true
		lines = append(lines, "STOPPING=1")
	}
	if status != "" && status != u.said.status {
		u.said.status = status
		lines = append(lines, "STATUS="+oneLine(status))
	}
	if len(lines) > 0 {
		_ = u.send(strings.Join(lines, "\n")) // told to Report
	}
}

// beat sends a sign of life that has been through the root's loop, at half the
// time within which it is wanted.
func (u *Upward) beat(ctx context.Context, every time.Duration, post func(func())) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	turned := make(chan struct{}, 1)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		post(func() { turned <- struct{}{} })
		select {
		case <-turned:
		case <-ctx.Done():
			return
		}
		_ = u.send("WATCHDOG=1") // told to Report
	}
}

// Summary is how a tree does, in one line: "11 running, 1 waiting".
func Summary(tree *journal.Node) string {
	var counts [journal.StateStuck + 1]int
	count(tree.Children, &counts)
	text := fmt.Sprintf("%d running", counts[journal.StateRunning])
	for _, s := range [...]journal.State{
		journal.StateStarting, journal.StateWaiting, journal.StateStopping, journal.StateStuck, journal.StateDown,
	} {
		if counts[s] > 0 {
			text += fmt.Sprintf(", %d %v", counts[s], s)
		}
	}
	return text
}

func count(nodes []*journal.Node, counts *[journal.StateStuck + 1]int) {
	for _, n := range nodes {
		counts[n.State]++
		count(n.Children, counts)
	}
}
