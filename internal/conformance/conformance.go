// Package conformance sees from outside whether a worker speaks the protocol of
// docs/protocol.md: it is the node of one worker, whose command line it gets,
// and has a life of it for every check.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options say which worker, and how it is spoken to.
type Options struct {
	Command  []string      // its command line
	Lines    bool          // in lines of JSON; else in frames
	Echo     string        // a method that answers with what it is given; "": no method of the worker is known
	Patience time.Duration // how long anything may take
}

// Result is the outcome of one check.
type Result struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Why    string `json:"why,omitempty"`    // it is not ok
	Stderr string `json:"stderr,omitempty"` // the last that the worker said there
}

// check is one check: of a worker that is up, or of one that has not been
// started yet.
type check struct {
	name   string
	frames bool // there is nothing like it in lines
	up     func(*life) error
	raw    func(*life) error
}

// Run makes all checks, one after the other, and tells each result at once. It
// returns whether all are ok, and an error only if the worker cannot be started
// or ctx ends. After a worker that does not come up nothing else is tried.
func Run(ctx context.Context, o Options, tell func(Result) error) (ok bool, err error) {
	ok = true
	for _, c := range checks() {
		if c.frames && o.Lines {
			continue
		}
		r, err := one(ctx, &o, c)
		if err != nil {
			return false, err
		}
		if err := tell(r); err != nil {
			return false, err
		}
		ok = ok && r.OK
		if !r.OK && c.name == comesUp {
			return false, nil
		}
	}
	return ok, nil
}

// errNotStarted is the fault of who asks, not the worker's.
var errNotStarted = errors.New("the worker cannot be started")

func one(ctx context.Context, o *Options, c check) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Patience, fmt.Errorf("it took longer than %v", o.Patience))
	defer cancel()
	l := &life{o: o, open: map[uint64]bool{}, answers: map[uint64]answer{}, seen: map[string]bool{}}
	defer l.end()
	stop := context.AfterFunc(ctx, l.hurry)
	defer stop()
	err := c.run(l)
	if errors.Is(err, errNotStarted) {
		return Result{}, err
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		if errors.Is(cause, context.Canceled) {
			return Result{}, cause
		}
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if err != nil {
		l.end() // what it says of its end belongs to it
		return Result{Check: c.name, Why: err.Error(), Stderr: l.stderr.String()}, nil
	}
	return Result{Check: c.name, OK: true}, nil
}

func (c *check) run(l *life) error {
	if c.raw != nil {
		return c.raw(l)
	}
	if err := l.comeUp(); err != nil {
		return err
	}
	return c.up(l)
}
