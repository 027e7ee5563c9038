package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// AddBody is the body of /v1/add.
type AddBody struct {
	*Child
	Args []string `json:"args,omitempty"`
}

// request is the order that a call gives.
func (c *call) request() (Request, error) {
	r := Request{Verb: Verb(c.verb), Path: c.node}
	if c.node == "/" && r.Verb != Shutdown && r.Verb != Add && r.Verb != Signal {
		return r, &Refused{Word: "root", Detail: "it is the whole tree; use shutdown to stop it"}
	}
	switch r.Verb {
	case Signal:
		if r.Signal = c.query.Get("signal"); r.Signal == "" {
			return r, badRequest("reading the signal to send: signal=NAME is missing")
		}
	case Add:
		var body AddBody
		if len(c.body) > 0 {
			if err := json.Unmarshal(c.body, &body); err != nil {
				return r, badRequest("reading the child to add: %v", err)
			}
		}
		r.Child, r.Args = body.Child, body.Args
		if r.Child != nil && r.Child.Spec.ID == "" {
			return r, badRequest("reading the child to add: it has no id")
		}
	}
	return r, nil
}

// order carries out a verb: it answers when that is true, or, with no_wait,
// when the order stands in a queue.
func (c *call) order() error {
	r, err := c.request()
	if err != nil {
		return err
	}
	noWait, err := c.flag("no_wait")
	if err != nil {
		return err
	}
	ctx, cancel, err := c.limited(c.server.ctx)
	if err != nil {
		return err
	}
	if noWait {
		return c.enqueue(ctx, cancel, r)
	}
	defer cancel()
	answer, err := c.carryOut(ctx, r)
	if err != nil {
		return err
	}
	return writeJSON(c.conn, 200, answer)
}

// enqueue answers when an order stands in a queue, or is refused at once.
func (c *call) enqueue(ctx context.Context, cancel context.CancelFunc, r Request) error {
	select {
	case c.server.waiting <- struct{}{}:
	default:
		cancel()
		return &Refused{Word: WordBusy, Detail: "too many orders wait to be carried out"}
	}
	queued, done := make(chan struct{}), make(chan error, 1)
	r.Queued = func() { close(queued) }
	go func() {
		defer func() { <-c.server.waiting; cancel() }()
		_, err := c.server.tree.Do(ctx, r)
		done <- err
	}()
	select {
	case <-queued:
	case err := <-done:
		if err != nil {
			return asRefusal(err)
		}
	}
	return writeJSON(c.conn, 202, c.seen(r.Path))
}

// limited is a context with the call's own timeout, if it has one.
func (c *call) limited(ctx context.Context) (context.Context, context.CancelFunc, error) {
	text := c.query.Get("timeout")
	if text == "" {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout < 0 {
		return nil, nil, badRequest("reading timeout=%.40q: it is no duration", text)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, nil
}

// carryOut has the tree do it, and waits until the journal shows it done.
func (c *call) carryOut(ctx context.Context, r Request) (Answer, error) {
	answer, err := c.server.tree.Do(ctx, r)
	if err != nil {
		return Answer{}, asRefusal(err)
	}
	at := cmp.Or(answer.Path, r.Path)
	if r.Child != nil {
		at = path.Join(r.Path, r.Child.Spec.ID)
	}
	switch r.Verb {
	case Start, Restart, Add:
		if answer.Incarnation == 0 {
			return c.seen(at), nil // the start answered ignore
		}
		return c.started(ctx, at, answer.Incarnation)
	case Stop:
		err = c.await(ctx, func(f *journal.Fold) bool {
			known, settled := f.Settled(at)
			return !known || settled
		})
	case Remove:
		err = c.await(ctx, func(f *journal.Fold) bool { known, _ := f.Settled(at); return !known })
	}
	return c.seen(at), err
}

// started waits until a life is up, or is over.
func (c *call) started(ctx context.Context, at string, incarnation uint64) (Answer, error) {
	var failed string
	err := c.await(ctx, func(f *journal.Fold) bool {
		life, state, known := f.State(at)
		if !known || life.Incarnation > incarnation {
			return true
		}
		if life.Incarnation < incarnation || state == journal.StateStarting {
			return false
		}
		if failed = f.StartError(at); failed != "" {
			return state != journal.StateRunning
		}
		return true
	})
	if err == nil && failed != "" {
		err = &Refused{Word: WordStartError, Detail: failed}
	}
	return c.seen(at), err
}

// seen is what the journal says of a path.
func (c *call) seen(at string) (a Answer) {
	c.journal().View(func(f *journal.Fold) {
		life, state, _ := f.State(at)
		a = Answer{Path: at, State: state, Pid: life.Pid, Incarnation: life.Incarnation}
	})
	return a
}

// await waits for the journal, in the words of this package.
func (c *call) await(ctx context.Context, holds func(*journal.Fold) bool) error {
	return asRefusal(c.journal().Await(ctx, holds))
}

// asRefusal puts the end of a wait into a word.
func asRefusal(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Refused{Word: WordTimeout, Detail: "it is not so yet"}
	case errors.Is(err, io.EOF), errors.Is(err, context.Canceled):
		return &Refused{Word: "noproc", Detail: "the tree has ended"}
	}
	return err
}

// The conditions of /v1/wait.
const (
	ForUp    = "up"    // its process exists
	ForReady = "ready" // it counts as running
	ForDown  = "down"  // it has no process, and none will be tried; a tree that has ended is down altogether
)

// wait answers when a path is as the client wants it.
func (c *call) wait() error {
	goal := c.query.Get("for")
	if goal != ForUp && goal != ForReady && goal != ForDown {
		return badRequest("reading for=%.40q: it is none of %s, %s, %s", goal, ForUp, ForReady, ForDown)
	}
	ctx, stop := c.whileThere(c.server.ctx)
	defer stop()
	ctx, cancel, err := c.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	seen, unknown := false, false
	err = c.journal().Await(ctx, func(f *journal.Fold) bool {
		life, state, known := f.State(c.node)
		_, settled := f.Settled(c.node)
		unknown = !known && !seen && !f.MayAppear(c.node)
		seen = seen || known
		switch goal {
		case ForUp:
			return unknown || life.Pid != 0
		case ForReady:
			return unknown || state == journal.StateRunning
		}
		return unknown || settled || seen && !known
	})
	switch {
	case unknown:
		return &Refused{Word: "not_found", Detail: "there is no " + c.node}
	case err != nil && !(goal == ForDown && errors.Is(err, io.EOF)):
		return asRefusal(err)
	}
	return writeJSON(c.conn, 200, c.seen(c.node))
}
