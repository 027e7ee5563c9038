package proc_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// event is one of those that $sys.log answers.
type event struct {
	Time                         time.Time
	Event, Type, Method, Payload string
	Peer                         proc.Addr
	ID                           uint64
	Size                         int
}

const (
	sysLog    proc.Call[any, proc.None]     = "$sys.log"
	sysLogged proc.Call[proc.None, []event] = "$sys.log"
	sysTrace  proc.Call[any, proc.None]     = "$sys.trace"
)

func on(events int) any { return map[string]any{"on": true, "events": events} }

// logged is what a server has in its log, in short.
func logged(t *testing.T, tree *proctest.Tree) (all []string) {
	t.Helper()
	for _, e := range must[[]event](t)(sysLogged.Call(tree.Context(), Srv, proc.None{})) {
		if e.Time.IsZero() || e.Peer.IsZero() || e.Size < len(e.Payload) {
			t.Errorf("an event is %+v", e)
		}
		all = append(all, strings.Join(strings.Fields(fmt.Sprint(e.Event, " ", e.Type, " ", e.Method, " ", e.Payload)), " "))
	}
	return all
}

// SYS-6: the last events, in, out and noreply.
func TestSysLogKeepsTheLastEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/srv", srv)
		ctx := tree.Context()
		must[string](t)(Echo.Call(ctx, Srv, "unseen"))
		if got := logged(t, tree); len(got) != 0 {
			t.Errorf("before anybody asked it has logged %q", got)
		}
		must[proc.None](t)(sysLog.Call(ctx, Srv, on(4)))
		must[string](t)(Echo.Call(ctx, Srv, "forgotten"))
		if err := Note.Cast(ctx, Srv, "a note"); err != nil {
			t.Fatal(err)
		}
		must[string](t)(Echo.Call(ctx, Srv, "last"))
		want := []string{`in cast note "a note"`, `noreply cast note`, `in call echo "last"`, `out reply "last"`}
		if got := logged(t, tree); !slices.Equal(got, want) {
			t.Errorf("it has logged %q, want %q", got, want)
		}
		_, err := proc.Call[proc.None, string]("nothing").Call(ctx, Srv, proc.None{})
		wantErr(t, err, proc.ErrNoMethod)
		if got := logged(t, tree); len(got) != 4 || got[2] != "in call nothing" || !strings.HasPrefix(got[3], `out error {"code":"no_method"`) {
			t.Errorf("it has logged %q", got)
		}

		// A hundred events and their beginnings are the most.
		must[proc.None](t)(sysLog.Call(ctx, Srv, on(1<<30)))
		big := strings.Repeat("<\x01", 500)
		for range 60 {
			must[string](t)(Echo.Call(ctx, Srv, big))
		}
		all := must[[]event](t)(sysLogged.Call(ctx, Srv, proc.None{}))
		if len(all) != 100 || len(all[0].Payload) > 256 || all[0].Size < len(big) {
			t.Errorf("%d events, the first of %d bytes of %d", len(all), len(all[0].Payload), all[0].Size)
		}
		must[proc.None](t)(sysLog.Call(ctx, Srv, map[string]any{"on": false}))
		must[string](t)(Echo.Call(ctx, Srv, "unseen"))
		if got := logged(t, tree); len(got) != 0 {
			t.Errorf("when it is off again it has logged %q", got)
		}
		for _, wrong := range []any{7, map[string]any{}, map[string]any{"on": true, "events": -1}} {
			for _, verb := range []proc.Call[any, proc.None]{sysLog, sysTrace} {
				if _, err := verb.Call(ctx, Srv, wrong); !errors.Is(err, proc.ErrBadRequest) {
					t.Errorf("%s %v: %v", verb, wrong, err)
				}
			}
		}
	})
}

// lines collects what goes to the log.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), part)
}

// A trace ends by itself, and costs nothing afterwards.
func TestSysTracePrintsSoManyEvents(t *testing.T) {
	var said lines
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/srv", srv)
		ctx := tree.Context()
		must[proc.None](t)(sysTrace.Call(ctx, Srv, on(3)))
		for range 5 {
			must[string](t)(Echo.Call(ctx, Srv, "hello\nthere"))
		}
		synctest.Wait()
		if in, out, over := said.count("event=in type=call method=echo"), said.count("event=out type=reply"), said.count("the trace has ended"); in != 2 || out != 1 || over != 1 {
			t.Errorf("%d in, %d out, ended %d times:\n%s", in, out, over, &said.all)
		}
		must[proc.None](t)(sysTrace.Call(ctx, Srv, map[string]any{"on": true}))
		must[string](t)(Echo.Call(ctx, Srv, ""))
		must[proc.None](t)(sysTrace.Call(ctx, Srv, map[string]any{"on": false}))
		must[string](t)(Echo.Call(ctx, Srv, ""))
		synctest.Wait()
		if in := said.count("event=in"); in != 3 {
			t.Errorf("%d in, want 3", in)
		}
	})
}
