package control

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// fake is a tree without processes: its verbs write the records that a node
// would have sent.
type fake struct {
	store  journal.Store
	writer *output.Writer

	mu    sync.Mutex
	asked []Request
	do    func(context.Context, Request) (Answer, error) // nil: ok
}

func (f *fake) Journal() *journal.Store                 { return &f.store }
func (f *fake) Tap(wants func(string) bool) *output.Tap { return f.writer.Tap(wants) }
func (f *fake) Info() Info                              { return Info{Version: "test", Name: "shop", Pid: 1} }

func (f *fake) Do(ctx context.Context, r Request) (Answer, error) {
	f.mu.Lock()
	f.asked = append(f.asked, r)
	do := f.do
	f.mu.Unlock()
	if r.Queued != nil {
		r.Queued()
	}
	if do == nil {
		return Answer{}, nil
	}
	return do(ctx, r)
}

func (f *fake) Output(_ context.Context, path string, n int) ([]output.Line, error) {
	if path != "/web" {
		return nil, &Refused{Word: "not_found"}
	}
	lines := []output.Line{{Stream: output.Stdout, Incarnation: 1, Text: "hello"}, {Stream: output.Stderr, Incarnation: 1, Text: "oh\x00\xff"}}
	return lines[:min(n, len(lines))], nil
}

func (f *fake) Call(ctx context.Context, m Message) (json.RawMessage, error) {
	switch m.Method {
	case "echo":
		return m.Payload, nil
	case "never":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, &Refused{Word: "insufficient_balance", Detail: "call bank withdraw: 7"}
}

func (f *fake) Cast(m Message) error { return nil }

func (f *fake) Names(context.Context) ([]Name, error) {
	return []Name{{Name: "bank", Path: "/web", Addr: "@1.1", Incarnation: 1}}, nil
}

func (f *fake) Channel(context.Context, string) (*Channel, error) {
	return &Channel{Waiting: 3, Names: []string{"bank"}}, nil
}

// say writes records to the fake's journal.
func (f *fake) say(records ...journal.Record) {
	for _, r := range records {
		r.Time = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		f.store.Append(r)
	}
}

// runs says that a worker runs.
func (f *fake) runs(path string, pid int, incarnation uint64) {
	f.say(journal.Record{Event: journal.Spawn, Path: path, Kind: "worker", Pid: pid, Incarnation: incarnation},
		journal.Record{Event: journal.Start, Path: path, Kind: "worker", Pid: pid, Incarnation: incarnation})
}

// ends says that a worker was stopped.
func (f *fake) ends(path string) {
	status := 0
	f.say(journal.Record{Event: journal.Stopping, Path: path},
		journal.Record{Event: journal.Exit, Path: path, Reason: "shutdown", Status: &status},
		journal.Record{Event: journal.Down, Path: path})
}

// serve starts a fake tree with a root and a worker /web, and a server for it.
func serve(t *testing.T) (*fake, *Client) {
	t.Helper()
	f := &fake{writer: output.NewWriter(-1, -1, [2]bool{})}
	t.Cleanup(f.writer.Close)
	f.say(journal.Record{Event: journal.Add, Path: "/", Kind: "supervisor", Name: "shop"},
		journal.Record{Event: journal.Start, Path: "/", Kind: "supervisor", Pid: 1, Incarnation: 1},
		journal.Record{Event: journal.Add, Path: "/web", Kind: "worker", Restart: "permanent"})
	f.runs("/web", 10, 1)
	listener, err := Listen(filepath.Join(t.TempDir(), "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := Serve(f, listener)
	t.Cleanup(server.Close)
	return f, &Client{Socket: listener.Path}
}
