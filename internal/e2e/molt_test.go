package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/proc"
)

// molting is a tree with a worker that molts, one that monitors it and one that
// calls it.
const molting = `
[[child]]
name    = "molter"
command = "exec $E2E_PLAY play molter"
channel = "frames"

[[child]]
name    = "watcher"
command = "exec $E2E_PLAY play watcher"
channel = "frames"

[[child]]
name     = "far"
strategy = "one_for_one"

  [[child.child]]
  name    = "crowd"
  command = "exec $E2E_PLAY play crowd"
  channel = "frames"

  [[child.child]]
  name    = "more"
  command = "exec $E2E_PLAY play crowd"
  channel = "frames"
`

// molt is what the molter is told: into which program, once there is a reader of
// the gate ("": at once), and what the new image does.
type molt struct {
	Argv  []string `json:"argv"`
	Gate  string   `json:"gate"`
	Fails bool     `json:"fails"` // in its Init
	Again int      `json:"again"` // it molts so many times more, in its Init
}

// The protocol of the molter.
const (
	theMolter proc.Name                      = "molter"
	hold      proc.Call[int, string]         = "hold" // answered by the next image
	echo      proc.Call[int, int]            = "echo"
	echoed    proc.Call[proc.None, int]      = "echoed" // how often
	molts     proc.Call[molt, string]        = "molt"
	number    proc.Cast[int]                 = "number"
	numbers   proc.Call[proc.None, []int]    = "numbers"
	held      proc.Call[proc.None, int]      = "held"
	downs     proc.Call[proc.None, []string] = "downs"
	chatter   proc.Cast[proc.Raw]            = "chatter"
	heard     proc.Call[proc.None, [2]int]   = "heard" // how much chatter, and how much of it was torn
)

// chatterSize is the size of a message in pieces, all of one byte.
const chatterSize = 150_000

// skin is what an image of the molter leaves to the next.
type skin struct {
	Image   int
	Numbers []int
	Held    []proc.From[string]
	Echoed  int
	Order   molt
}

func molter(s *proc.Server) error {
	var st skin
	if s.Molted(&st) {
		st.Image++
		switch {
		case st.Order.Fails:
			return errors.New("the new image has a mistake")
		case st.Order.Again > 0:
			st.Order.Again--
			return s.Molt(nil, st)
		}
		for _, from := range st.Held {
			from.Reply(fmt.Sprint("image ", st.Image))
		}
		st.Held = nil
	} else if err := s.Register(theMolter); err != nil {
		return err
	}
	if os.Getenv("CHATTERS") != "" {
		s.Go(func(ctx context.Context) error {
			said := byte(st.Image)
			for ctx.Err() == nil {
				said++
				switch err := chatter.Cast(ctx, proc.Name("/watcher"), bytes.Repeat([]byte{said}, chatterSize)); {
				case errors.Is(err, proc.ErrBusy): // as much is kept back as may be
					time.Sleep(time.Millisecond)
				case err != nil && ctx.Err() == nil:
					return err
				}
			}
			return nil
		})
	}
	hold.HandleLater(s, func(_ context.Context, _ int, from proc.From[string]) error {
		st.Held = append(st.Held, from)
		return nil
	})
	echo.Handle(s, func(_ context.Context, n int) (int, error) { st.Echoed++; return n, nil })
	echoed.Handle(s, func(context.Context, proc.None) (int, error) { return st.Echoed, nil })
	number.Handle(s, func(_ context.Context, n int) error { st.Numbers = append(st.Numbers, n); return nil })
	numbers.Handle(s, func(context.Context, proc.None) ([]int, error) { return st.Numbers, nil })
	held.Handle(s, func(context.Context, proc.None) (int, error) { return len(st.Held), nil })
	molts.HandleLater(s, func(_ context.Context, m molt, from proc.From[string]) error {
		if m.Gate != "" {
			fmt.Println("molting")
			if _, err := os.ReadFile(m.Gate); err != nil {
				return err
			}
		}
		next := st
		next.Order, next.Held = m, append(next.Held, from)
		return s.Molt(m.Argv, next)
	})
	return nil
}

// watcher monitors the molter, and tells of the ends that it was told of.
func watcher(s *proc.Server) error {
	var ends []string
	s.Monitor(theMolter, func(_ context.Context, d proc.Down) error {
		ends = append(ends, fmt.Sprint(d.Path, "#", d.Incarnation, " ", d.Reason.Class))
		return nil
	})
	var chatters [2]int
	chatter.Handle(s, func(_ context.Context, what proc.Raw) error {
		chatters[0]++
		if len(what) != chatterSize || bytes.Count(what, what[:1]) != chatterSize {
			chatters[1]++
		}
		return nil
	})
	heard.Handle(s, func(context.Context, proc.None) ([2]int, error) { return chatters, nil })
	downs.Handle(s, func(context.Context, proc.None) ([]string, error) { return ends, nil })
	return nil
}

// crowd makes many calls at once, and tells how they ended.
func crowd(s *proc.Server) error {
	s.Concurrent(8)
	many := func(n int, call func(i int) (string, error)) map[string]int {
		var mu sync.Mutex
		var wg sync.WaitGroup
		outcomes := map[string]int{}
		for i := range n {
			wg.Go(func() {
				outcome, err := call(i)
				var e *proc.CallError
				if errors.As(err, &e) {
					outcome = string(e.Code)
				}
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
			})
		}
		wg.Wait()
		return outcomes
	}
	type outcomes = map[string]int
	proc.Call[int, outcomes]("hold").Handle(s, func(ctx context.Context, n int) (outcomes, error) {
		return many(n, func(i int) (string, error) { return hold.Call(ctx, theMolter, i) }), nil
	})
	proc.Call[int, outcomes]("echo").Handle(s, func(ctx context.Context, n int) (outcomes, error) {
		return many(n, func(i int) (string, error) {
			got, err := echo.Call(ctx, theMolter, i)
			return fmt.Sprint(got == i), err
		}), nil
	})
	proc.Call[[2]int, proc.None]("number").Handle(s, func(ctx context.Context, span [2]int) (proc.None, error) {
		for i := span[0]; i < span[1]; i++ {
			if err := number.Cast(ctx, theMolter, i); err != nil {
				return proc.None{}, err
			}
		}
		return proc.None{}, nil
	})
	return nil
}

// calls calls a worker and reads its reply.
func calls[T any](r *running, to, method string, payload any) (v T) {
	r.t.Helper()
	text, err := json.Marshal(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	out, _ := r.does(0, "call", "-timeout", patience.String(), to, method, string(text))
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		r.t.Errorf("%s %s answers %q: %v", to, method, out, err)
	}
	return v
}

// begins is calls beside the test.
func begins[T any](r *running, to, method string, payload any) <-chan T {
	answer := make(chan T, 1)
	go func() { answer <- calls[T](r, to, method, payload) }()
	return answer
}

// until asks again and again, of real processes.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

// want compares what came of many calls.
func want(t *testing.T, what string, got map[string]int, outcome string, n int) {
	t.Helper()
	if len(got) != 1 || got[outcome] != n {
		t.Errorf("%s: %v, want %d times %q", what, got, n, outcome)
	}
}

func TestAWorkerMoltsWithAThousandCallsOpen(t *testing.T) {
	t.Parallel()
	r := boot(t, molting)
	before := r.node("/molter")
	gate := filepath.Join(r.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	const open, waiting, later = 1000, 500, 1000
	opened := begins[map[string]int](r, "/far/crowd", "hold", open)
	until(t, "the calls to be held", func() bool { return calls[int](r, "molter", "held", nil) == open })

	molted := begins[string](r, "molter", "molt", molt{Gate: gate})
	r.stdout.says(t, "/molter | molting")
	// What comes now waits in the old image's mailbox, a second order to molt too.
	calls[any](r, "/far/more", "number", [2]int{0, waiting})
	again := begins[string](r, "molter", "molt", molt{Again: 2})
	until(t, "the casts to wait", func() bool {
		return calls[proc.Statistics](r, "molter", "$sys.statistics", nil).Mailbox == waiting+1
	})
	echoes := begins[map[string]int](r, "/far/more", "echo", later)
	if err := os.WriteFile(gate, nil, 0); err != nil {
		t.Fatal(err)
	}
	calls[any](r, "/far/more", "number", [2]int{waiting, 2 * waiting})

	want(t, "the calls that were open", <-opened, "image 1", open)
	want(t, "calls meanwhile", <-echoes, "true", later)
	if n := calls[int](r, "molter", "echoed", nil); n != later {
		t.Errorf("of %d calls meanwhile it has handled %d", later, n)
	}
	if got := <-molted; got != "image 1" {
		t.Errorf("the order to molt was answered by %s", got)
	}
	if got := <-again; got != "image 4" {
		t.Errorf("the second, three molts in one, was answered by %s", got)
	}
	got := calls[[]int](r, "molter", "numbers", nil)
	if len(got) != 2*waiting {
		t.Errorf("%d casts have come, want %d", len(got), 2*waiting)
	}
	for i, n := range got {
		if n != i {
			t.Fatalf("cast %d was number %d", i, n)
		}
	}
	after := r.node("/molter")
	if after.Pid != before.Pid || after.Incarnation != 1 {
		t.Errorf("it was pid %d, and is pid %d, life %d", before.Pid, after.Pid, after.Incarnation)
	}
	if out, _ := r.does(0, "names"); !strings.Contains(out, "molter\t/molter\t") {
		t.Errorf("the names are %s", out)
	}
	if ends := calls[[]string](r, "/watcher", "downs", nil); len(ends) != 0 {
		t.Errorf("who monitors it was told of %q", ends)
	}
	if n := strings.Count(r.stderr.String(), "protocol:"); n != 0 {
		t.Errorf("the tree complains of the protocol %d times", n)
	}
}

// A function beside the mailbox writes all the time: no image ends in the middle
// of a frame or of a message, and the next is understood.
func TestAWorkerMoltsWhileItWrites(t *testing.T) {
	t.Parallel()
	r := boot(t, strings.Replace(molting, `"exec $E2E_PLAY play molter"`, `"CHATTERS=1 exec $E2E_PLAY play molter"`, 1))
	times := 20
	if long() {
		times = 500
	}
	for i := range times {
		if got := calls[string](r, "molter", "molt", molt{}); got != fmt.Sprint("image ", i+1) {
			t.Fatalf("molt %d was answered by %s", i+1, got)
		}
	}
	if after := r.node("/molter"); after.Incarnation != 1 {
		t.Errorf("it is in life %d", after.Incarnation)
	}
	var got [2]int
	until(t, "what it wrote to come", func() bool {
		out, err := r.ask("call", "/watcher", "heard").Output() // busy, while much waits for it
		return err == nil && json.Unmarshal(out, &got) == nil && got[0] > 0
	})
	if got[1] > 0 {
		t.Errorf("of %d messages %d were torn", got[0], got[1])
	}
}

func TestAMoltThatFailsIsAnAnswerAndNoMore(t *testing.T) {
	t.Parallel()
	r := boot(t, molting)
	opened := begins[map[string]int](r, "/far/crowd", "hold", 1000)
	until(t, "the calls to be held", func() bool { return calls[int](r, "molter", "held", nil) == 1000 })
	for _, program := range []string{"/no/such/program", r.dir, "no-such-program-anywhere"} {
		if _, said := r.does(1, "call", "-timeout", patience.String(), "molter", "molt", fmt.Sprintf(`{"argv":[%q]}`, program)); !strings.Contains(said, "molting") {
			t.Errorf("a molt into %s: %s", program, said)
		}
		want(t, "calls after it", calls[map[string]int](r, "/far/crowd", "echo", 50), "true", 50)
	}
	if n := calls[int](r, "molter", "held", nil); n != 1000 {
		t.Errorf("it holds %d calls", n)
	}
	if got := calls[string](r, "molter", "molt", molt{}); got != "image 1" {
		t.Errorf("the next molt was answered by %s", got)
	}
	want(t, "the calls that were open", <-opened, "image 1", 1000)
}

func TestANewImageThatFailsIsAnEndLikeAnother(t *testing.T) {
	t.Parallel()
	r := boot(t, molting)
	opened := begins[map[string]int](r, "/far/crowd", "hold", 1000)
	until(t, "the calls to be held", func() bool { return calls[int](r, "molter", "held", nil) == 1000 })
	if _, said := r.does(1, "call", "-timeout", patience.String(), "molter", "molt", `{"fails":true}`); !strings.Contains(said, "down") {
		t.Errorf("who asked for it got %s", said)
	}
	want(t, "the calls that were open", <-opened, "down", 1000)
	end := r.await("/molter", journal.Exit, 1)
	if end.Reason != "abnormal" || end.Status == nil || *end.Status != 1 {
		t.Errorf("its life ended %+v", end)
	}
	r.await("/molter", journal.Start, 2)
	want(t, "calls to the next life", calls[map[string]int](r, "/far/crowd", "echo", 50), "true", 50)
	until(t, "the monitor to be told", func() bool { return len(calls[[]string](r, "/watcher", "downs", nil)) > 0 })
	if ends := calls[[]string](r, "/watcher", "downs", nil); len(ends) != 1 || ends[0] != "/molter#1 abnormal" {
		t.Errorf("who monitors it was told of %q", ends)
	}
}
