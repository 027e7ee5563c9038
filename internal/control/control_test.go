package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// word is the word of a refusal.
func word(err error) string {
	var refused *Refused
	if errors.As(err, &refused) {
		return refused.Word
	}
	return ""
}

func TestStatusShowsTheTreeAndTheLastLines(t *testing.T) {
	_, c := serve(t)
	var n NodeStatus
	if err := c.Get(t.Context(), "status", "/", nil, &n); err != nil {
		t.Fatal(err)
	}
	if n.Name != "shop" || len(n.Children) != 1 || n.Children[0].State != journal.StateRunning || n.Output != nil {
		t.Errorf("status %+v", n)
	}
	if err := c.Get(t.Context(), "status", "/web", nil, &n); err != nil || n.Pid != 10 || len(n.Output) != 2 {
		t.Errorf("status of /web: %+v, %v", n, err)
	}
	if err := c.Get(t.Context(), "status", "/nobody", nil, &n); word(err) != "not_found" {
		t.Errorf("status of nobody: %v", err)
	}
}

func TestEventsAreFollowedToTheEnd(t *testing.T) {
	f, c := serve(t)
	var seen []string
	err := c.Events(t.Context(), 3, true, func(line []byte) error {
		var r journal.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		seen = append(seen, r.Event)
		switch r.Event {
		case journal.Start:
			f.ends("/web")
		case journal.Down:
			f.store.Close()
		}
		return nil
	})
	want := []string{"spawn", "start", "stopping", "exit", "down"}
	if err != nil || len(seen) != len(want) {
		t.Errorf("events %q, want %q; %v", seen, want, err)
	}
}

func TestAStopIsAnsweredWhenItIsTrue(t *testing.T) {
	f, c := serve(t)
	f.do = func(context.Context, Request) (Answer, error) {
		go f.ends("/web") // the supervisor's answer is faster than its records
		return Answer{}, nil
	}
	var a Answer
	if err := c.Post(t.Context(), "stop", "/web", nil, nil, &a); err != nil || a.State != journal.StateDown || a.Pid != 0 {
		t.Errorf("stop: %+v, %v", a, err)
	}
}

func TestAStartIsAnsweredWhenTheChildIsUp(t *testing.T) {
	f, c := serve(t)
	f.ends("/web")
	f.do = func(context.Context, Request) (Answer, error) {
		f.say(journal.Record{Event: journal.Spawn, Path: "/web", Kind: "worker", Pid: 11, Incarnation: 2})
		go f.runs("/web", 11, 2)
		return Answer{Incarnation: 2}, nil
	}
	var a Answer
	if err := c.Post(t.Context(), "start", "/web", nil, nil, &a); err != nil || a.State != journal.StateRunning || a.Pid != 11 || a.Incarnation != 2 {
		t.Errorf("start: %+v, %v", a, err)
	}
}

func TestAStartThatFailsSaysWhy(t *testing.T) {
	f, c := serve(t)
	f.ends("/web")
	f.do = func(context.Context, Request) (Answer, error) {
		f.say(journal.Record{Event: journal.Spawn, Path: "/web", Kind: "worker", Pid: 11, Incarnation: 2})
		go func() {
			status := 1
			f.say(journal.Record{Event: journal.Failed, Path: "/web", Incarnation: 2, Error: "not ready within 60s"},
				journal.Record{Event: journal.Exit, Path: "/web", Incarnation: 2, Reason: "abnormal", Status: &status})
		}()
		return Answer{Incarnation: 2}, nil
	}
	var a Answer
	err := c.Post(t.Context(), "start", "/web", nil, nil, &a)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Word != WordStartError || refused.Detail != "not ready within 60s" {
		t.Errorf("start: %v", err)
	}
}

func TestARefusalKeepsOTPsWord(t *testing.T) {
	f, c := serve(t)
	f.do = func(context.Context, Request) (Answer, error) { return Answer{}, &Refused{Word: "running"} }
	var a Answer
	if err := c.Post(t.Context(), "remove", "/web", nil, nil, &a); word(err) != "running" {
		t.Errorf("remove: %v", err)
	}
	for _, verb := range []string{"stop", "start", "restart", "remove"} {
		if err := c.Post(t.Context(), verb, "/", nil, nil, &a); word(err) != "root" {
			t.Errorf("%s /: %v", verb, err)
		}
	}
}

func TestAnOrderThatIsNotWaitedForIsAnsweredWhenQueued(t *testing.T) {
	f, c := serve(t)
	block := make(chan struct{})
	f.do = func(context.Context, Request) (Answer, error) { <-block; return Answer{}, nil }
	var a Answer
	if err := c.Post(t.Context(), "stop", "/web", url.Values{"no_wait": {"1"}}, nil, &a); err != nil || a.State != journal.StateRunning {
		t.Errorf("stop -no-wait: %+v, %v", a, err)
	}
	close(block)
}

func TestAnOrderHasATimeout(t *testing.T) {
	f, c := serve(t)
	f.do = func(ctx context.Context, _ Request) (Answer, error) { <-ctx.Done(); return Answer{}, ctx.Err() }
	var a Answer
	if err := c.Post(t.Context(), "stop", "/web", url.Values{"timeout": {"1ms"}}, nil, &a); word(err) != WordTimeout {
		t.Errorf("stop -timeout 1ms: %v", err)
	}
}

func TestAddCarriesTheSpec(t *testing.T) {
	f, c := serve(t)
	f.do = func(_ context.Context, r Request) (Answer, error) {
		f.say(journal.Record{Event: journal.Add, Path: r.Path + r.Child.Spec.ID, Kind: "worker"})
		f.runs(r.Path+r.Child.Spec.ID, 12, 1)
		return Answer{Incarnation: 1}, nil
	}
	var a Answer
	body := AddBody{Child: &Child{Spec: tree.ChildSpec{ID: "new"}}}
	if err := c.Post(t.Context(), "add", "/", nil, body, &a); err != nil || a.Pid != 12 || a.Path != "/new" {
		t.Fatalf("add: %+v, %v", a, err)
	}
	if r := f.asked[0]; r.Verb != Add || r.Child == nil || r.Child.Spec.ID != "new" {
		t.Errorf("asked %+v", r)
	}
	if err := c.Post(t.Context(), "add", "/", nil, AddBody{Child: &Child{}}, &a); word(err) != WordBadRequest {
		t.Errorf("add without an id: %v", err)
	}
	f.do = func(context.Context, Request) (Answer, error) {
		f.say(journal.Record{Event: journal.Add, Path: "/pool/1", Kind: "worker"})
		f.runs("/pool/1", 13, 1)
		return Answer{Path: "/pool/1", Incarnation: 1}, nil
	}
	if err := c.Post(t.Context(), "add", "/pool", nil, AddBody{Args: []string{"-x", "1"}}, &a); err != nil || a.Path != "/pool/1" {
		t.Errorf("add of an instance: %+v, %v", a, err)
	}
	if r := f.asked[1]; r.Child != nil || len(r.Args) != 2 {
		t.Errorf("asked %+v", r)
	}
}

func TestWaiting(t *testing.T) {
	f, c := serve(t)
	wait := func(path, goal, timeout string) error {
		var a Answer
		return c.Get(t.Context(), "wait", path, url.Values{"for": {goal}, "timeout": {timeout}}, &a)
	}
	if err := wait("/web", ForReady, "1m"); err != nil {
		t.Errorf("ready: %v", err)
	}
	if err := wait("/web", ForDown, "1ms"); word(err) != WordTimeout {
		t.Errorf("down: %v", err)
	}
	if err := wait("/nobody", ForUp, "1m"); word(err) != "not_found" {
		t.Errorf("nobody: %v", err)
	}
	if err := wait("/web", "weekend", "1m"); word(err) != WordBadRequest {
		t.Errorf("weekend: %v", err)
	}
	// What a supervisor that is starting has not told yet is waited for.
	f.say(journal.Record{Event: journal.Add, Path: "/sub", Kind: "supervisor"},
		journal.Record{Event: journal.Spawn, Path: "/sub", Kind: "supervisor", Pid: 20, Incarnation: 1})
	result := make(chan error)
	go func() { result <- wait("/sub/late", ForUp, "1m") }()
	f.say(journal.Record{Event: journal.Add, Path: "/sub/late", Kind: "worker"})
	f.runs("/sub/late", 21, 1)
	if err := <-result; err != nil {
		t.Errorf("late: %v", err)
	}
	go func() { result <- wait("/web", ForDown, "1m") }()
	f.ends("/web")
	if err := <-result; err != nil {
		t.Errorf("down: %v", err)
	}
	go func() { result <- wait("/sub/late", ForDown, "1m") }()
	f.store.Close()
	if err := <-result; err != nil {
		t.Errorf("down with the tree: %v", err)
	}
	if err := wait("/web", ForUp, "1m"); word(err) != "noproc" {
		t.Errorf("up after the end: %v", err)
	}
}

func TestWhyAndLogsShowTheLastLines(t *testing.T) {
	_, c := serve(t)
	var e Explanation
	if err := c.Get(t.Context(), "why", "/web", nil, &e); err != nil || e.Why == "" || len(e.Output) != 2 {
		t.Errorf("why: %+v, %v", e, err)
	}
	var l Lines
	if err := c.Get(t.Context(), "logs", "/web", url.Values{"n": {"1"}}, &l); err != nil || len(l.Lines) != 1 || l.Lines[0].Text != "hello" {
		t.Errorf("logs: %+v, %v", l, err)
	}
	if err := c.Get(t.Context(), "logs", "/", nil, &l); err != nil || len(l.Lines) != 2 || l.Lines[1].Path != "/web" {
		t.Errorf("logs of all: %+v, %v", l, err)
	}
	if err := c.Get(t.Context(), "logs", "/nobody", nil, &l); word(err) != "not_found" {
		t.Errorf("logs of nobody: %v", err)
	}
}

func TestLogsAreFollowed(t *testing.T) {
	f, c := serve(t)
	enough := errors.New("enough")
	var seen []string
	err := c.FollowLogs(t.Context(), []string{"/", "/web"}, 20, func(line []byte) error {
		var l TapLine
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		seen = append(seen, l.Path+" "+l.Text)
		if len(seen) == 2 {
			f.writer.Output(output.Batch{Path: "/web", Stream: output.Stdout, Lines: []byte("and more\n")})
		}
		if len(seen) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen[0] != "/web hello" || seen[2] != "/web and more" {
		t.Errorf("followed %q, %v", seen, err)
	}
}

func TestEveryRouteIsListed(t *testing.T) {
	_, c := serve(t)
	var list []Route
	if err := c.Get(t.Context(), "", "", nil, &list); err != nil || len(list) != len(routes()) {
		t.Errorf("%d routes are listed, %v", len(list), err)
	}
}

func TestAClientThatGoesAwayIsNotWaitedFor(t *testing.T) {
	f, c := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	err := c.Events(ctx, 0, true, func([]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	f.ends("/web")
}

func TestEveryRouteIsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes() {
		if line := "| " + r.Method + " | `" + r.Path + "` |"; !strings.Contains(string(text), line) {
			t.Errorf("docs/control.md lacks %s", line)
		}
	}
}
