package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// runningTree is the root's node as the control socket wants a tree.
type runningTree struct {
	node    *node.Node
	end     func() // the order to end
	journal *journal.Store
	writer  *output.Writer
	info    control.Info
}

// Journal is what status and events are made of.
func (t *runningTree) Journal() *journal.Store { return t.journal }

// Info says what is running.
func (t *runningTree) Info() control.Info { return t.info }

// Tap collects what children print from now on.
func (t *runningTree) Tap(wants func(string) bool) *output.Tap { return t.writer.Tap(wants) }

// Do carries out a verb; the two neighbours have the same words for them.
func (t *runningTree) Do(ctx context.Context, r control.Request) (control.Answer, error) {
	if r.Verb == control.Shutdown {
		t.end()
		return control.Answer{Path: "/"}, nil
	}
	request := node.Request{Verb: node.Verb(r.Verb), Path: r.Path, Args: r.Args, Signal: r.Signal, Interrupt: true}
	if r.Child != nil {
		request.Child, request.Worker, request.Subtree = &r.Child.Spec, r.Child.Worker, r.Child.Supervisor
	}
	a, err := t.node.Ask(ctx, request, r.Queued)
	if err != nil {
		return control.Answer{}, ended(err)
	}
	if err := refusal(a); err != nil {
		return control.Answer{}, err
	}
	return t.seen(r, a.Child), nil
}

// Output is the last lines that a child printed.
func (t *runningTree) Output(ctx context.Context, path string, n int) ([]output.Line, error) {
	a, err := t.node.Ask(ctx, node.Request{Verb: node.Lines, Path: path, Lines: n}, nil)
	if err != nil {
		return nil, ended(err)
	}
	return a.Lines, refusal(a)
}

// Call calls a worker.
func (t *runningTree) Call(ctx context.Context, m control.Message) (json.RawMessage, error) {
	reply, err := t.node.Call(ctx, m.To, m.Method, m.Payload)
	return reply, talked(err)
}

// Cast casts to workers.
func (t *runningTree) Cast(m control.Message) error {
	return talked(t.node.Cast(m.To, m.Method, m.Payload))
}

// Names are the registered names.
func (t *runningTree) Names(ctx context.Context) ([]control.Name, error) {
	found, err := t.node.Names(ctx)
	if err != nil {
		return nil, talked(err)
	}
	names := make([]control.Name, len(found))
	for i, r := range found {
		names[i] = control.Name{Name: r.Name, Path: r.Path, Addr: r.Addr.String(), Incarnation: r.Incarnation}
	}
	return names, nil
}

// Channel is what is known of a worker's channel.
func (t *runningTree) Channel(ctx context.Context, path string) (*control.Channel, error) {
	a, err := t.node.Ask(ctx, node.Request{Verb: node.Talk, Path: path}, nil)
	if err != nil {
		return nil, ended(err)
	}
	if err := refusal(a); err != nil {
		return nil, err
	}
	c := a.Channel
	return &control.Channel{
		Calls: c.Calls, Waiting: c.Waiting, Queued: c.Queued, Dropped: c.Dropped, Busy: c.Busy, Names: c.Names,
		Statistics: c.Statistics,
	}, nil
}

// talked puts the error of a call into its code.
func talked(err error) error {
	var failed *node.CallError
	var misuse *node.MessageError
	switch {
	case errors.As(err, &failed):
		return &control.Refused{Word: failed.Code, Detail: failed.Detail()}
	case errors.As(err, &misuse):
		return &control.Refused{Word: control.WordBadRequest, Detail: misuse.Error()}
	}
	return err
}

// seen is the answer about the child that was meant, or that came of it.
func (t *runningTree) seen(r control.Request, child tree.Ref) control.Answer {
	a := control.Answer{Path: r.Path, Incarnation: child.Incarnation}
	if r.Verb == control.Add && r.Child == nil && child.ID != "" {
		a.Path = node.Below(r.Path, child.ID)
	}
	t.journal.View(func(f *journal.Fold) {
		life, state, _ := f.State(a.Path)
		a.State, a.Pid = state, life.Pid
	})
	return a
}

// refusal is a supervisor's no, in OTP's word.
func refusal(a node.Answer) error {
	if a.Err == "" {
		return nil
	}
	if node.StartFailed(a) {
		return &control.Refused{Word: control.WordStartError, Detail: a.Err}
	}
	return &control.Refused{Word: a.Err}
}

// ended puts the end of the tree into OTP's word.
func ended(err error) error {
	if errors.Is(err, node.ErrEnded) {
		return &control.Refused{Word: "noproc", Detail: err.Error()}
	}
	return err
}
