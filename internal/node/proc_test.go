package node

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/proc"
)

// The name server of "Programming Erlang", as a worker that links proc.
const (
	theNames   proc.Name                 = "names"
	addPlace   proc.Cast[place]          = "add"
	findPlace  proc.Call[string, string] = "find"
	askNames   proc.Call[string, string] = "ask"
	restNow    proc.Call[string, string] = "rest"
	errUnknown proc.Error                = "not_found"
)

type place struct{ Name, Place string }

// initOf is the Init of a worker of a role; nil if it is none of proc's.
func initOf(role string) proc.Init {
	return map[string]proc.Init{
		"proc names": names, "proc asker": asker, "proc fails": broken, "proc store": store, "proc pusher": pusher,
		"proc holder": holder, "proc giver": giver, "proc sloth": sloth,
	}[role]
}

func names(s *proc.Server) error {
	places := map[string]string{}
	addPlace.Handle(s, func(_ context.Context, p place) error { places[p.Name] = p.Place; return nil })
	findPlace.Handle(s, func(_ context.Context, name string) (string, error) {
		at, ok := places[name]
		if !ok {
			return "", errUnknown
		}
		return at, nil
	})
	restNow.Handle(s, func(context.Context, string) (string, error) {
		s.Stop(nil)
		return "good night", nil
	})
	return s.Register(theNames)
}

// asker passes questions on, so that a call crosses two channels.
func asker(s *proc.Server) error {
	askNames.Handle(s, func(ctx context.Context, name string) (string, error) {
		at, err := findPlace.Call(ctx, theNames, name)
		if errors.Is(err, errUnknown) {
			return "nowhere", nil
		}
		return at, err
	})
	return nil
}

func broken(*proc.Server) error { return errors.New("no disk") }

func TestServersOfProcTalkThroughTheTree(t *testing.T) {
	tt := plant(t, under(worker(supervisor("/"), "names", "proc names"), worker(supervisor("/web"), "asker", "proc asker")))
	if err := tt.Cast("names", "add", []byte(`{"Name":"Joe","Place":"At Home"}`)); err != nil {
		t.Fatal(err)
	}
	if got := must[string](tt, "/web/asker", "ask", "Joe"); got != "At Home" {
		t.Errorf("Joe is %q", got)
	}
	if got := must[string](tt, "/web/asker", "ask", "Bob"); got != "nowhere" {
		t.Errorf("Bob is %q", got)
	}
	if _, err := ask[string](tt, "names", "find", "Bob"); code(err) != "not_found" {
		t.Errorf("an error of a handler: %v", err)
	}
	var s struct{ Handled int }
	var c *Channel
	tt.until("its figures", func() bool { c = tt.talk("/names"); return c.Statistics != nil })
	if err := json.Unmarshal(c.Statistics, &s); err != nil || s.Handled != 4 || len(c.Names) != 1 || c.Names[0] != "names" {
		t.Errorf("its channel: %+v, %s", c, c.Statistics)
	}
}

func TestAServerThatStopsAnswersFirstAndIsStartedAgain(t *testing.T) {
	tt := plant(t, worker(supervisor("/"), "names", "proc names"))
	if got := must[string](tt, "names", "rest", "now"); got != "good night" {
		t.Errorf("its last answer is %q", got)
	}
	r := tt.awaitRecord("its end", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/names" })
	if r.Reason != "normal" {
		t.Errorf("it ended %s, %q", r.Reason, r.Message)
	}
	tt.awaitLife("/names", 2)
	if _, err := ask[string](tt, "names", "find", "Joe"); code(err) != "not_found" {
		t.Errorf("its next life knows of the last: %v", err)
	}
}

func TestTheErrorOfAnInitIsTheReasonOfTheFailedStart(t *testing.T) {
	tt := sow(t, worker(supervisor("/"), "a", "proc fails"))
	r := tt.awaitRecord("the failed start", func(r *journal.Record) bool { return r.Event == journal.Failed })
	if r.Path != "/a" || r.Error != "no disk" {
		t.Errorf("%s: %q", r.Path, r.Error)
	}
}
