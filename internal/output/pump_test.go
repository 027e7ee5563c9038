package output

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/tree"
)

// collector is a sink that a test can wait on.
type collector struct {
	mu   sync.Mutex
	more *sync.Cond
	got  map[string]string // by "path stream"
}

func newCollector() *collector {
	c := &collector{got: make(map[string]string)}
	c.more = sync.NewCond(&c.mu)
	return c
}

func (c *collector) take(b Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got[fmt.Sprint(b.Path, " ", b.Stream)] += string(b.Lines)
	c.more.Broadcast()
}

// wait waits until what came from a stream satisfies a condition.
func (c *collector) wait(t *testing.T, from string, enough func(string) bool) string {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { c.more.Broadcast() })
	defer late.Stop()
	end := time.Now().Add(time.Minute)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !enough(c.got[from]) {
		if time.Now().After(end) {
			t.Fatalf("%s printed only %.200q", from, c.got[from])
		}
		c.more.Wait()
	}
	return c.got[from]
}

func exactly(text string) func(string) bool { return func(got string) bool { return got == text } }

// printer is a child's end of its pipes.
type printer struct {
	ref      tree.Ref
	out, err *os.File
}

func newPump(t *testing.T) (*Pump, *collector) {
	t.Helper()
	c := newCollector()
	p, err := NewPump(c.take)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p, c
}

func add(t *testing.T, p *Pump, path string, incarnation uint64) printer {
	t.Helper()
	var pipes [2][2]int
	for i := range pipes {
		if err := unix.Pipe2(pipes[i][:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(pipes[i][0], true)
	}
	w := printer{tree.Ref{ID: path[1:], Incarnation: incarnation}, os.NewFile(uintptr(pipes[0][1]), "out"), os.NewFile(uintptr(pipes[1][1]), "err")}
	t.Cleanup(func() { w.out.Close(); w.err.Close() })
	if err := p.Add(w.ref, path, pipes[0][0], pipes[1][0]); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWholeLinesComeWithTheirPathAndStream(t *testing.T) {
	p, c := newPump(t)
	a, b := add(t, p, "/a", 1), add(t, p, "/b", 1)
	a.out.WriteString("one\ntw")
	b.err.WriteString("oh\n")
	c.wait(t, "/a 1", exactly("one\n"))
	a.out.WriteString("o\nthree\n\x00\xff\n")
	c.wait(t, "/a 1", exactly("one\ntwo\nthree\n\x00\xff\n"))
	c.wait(t, "/b 2", exactly("oh\n"))
}

func TestALastPieceIsDeliveredWhenItsLifeEnds(t *testing.T) {
	p, c := newPump(t)
	held := add(t, p, "/held", 1) // a descendant still has the pipe
	held.out.WriteString("no newline")
	p.Close(held.ref)
	c.wait(t, "/held 1", exactly("no newline\n"))

	gone := add(t, p, "/gone", 1)
	gone.err.WriteString("nor here")
	gone.err.Close()
	c.wait(t, "/gone 2", exactly("nor here\n"))
	p.Close(gone.ref)
	p.Close(gone.ref) // a second time changes nothing
}

func TestALongLineIsSplitAndMarked(t *testing.T) {
	p, c := newPump(t)
	w := add(t, p, "/long", 1)
	line := strings.Repeat("0123456789abcdef", 10<<16) // 10 MiB
	go func() {
		w.out.WriteString(line + "\nshort\n")
		w.out.Close()
	}()
	got := c.wait(t, "/long 1", func(got string) bool { return strings.HasSuffix(got, "\nshort\n") })
	for piece := range strings.Lines(got) {
		if len(piece) > MaxLine+2*len(LineMark)+1 {
			t.Fatalf("a piece of %d bytes", len(piece))
		}
	}
	joined := strings.ReplaceAll(got, LineMark+"\n"+LineMark, "")
	if joined != line+"\nshort\n" {
		t.Errorf("%d bytes came of %d", len(joined), len(line)+7)
	}
}

func TestAFloodStarvesNobody(t *testing.T) {
	p, c := newPump(t)
	flood, quiet := add(t, p, "/flood", 1), add(t, p, "/quiet", 1)
	stop := make(chan struct{})
	var flooding sync.WaitGroup
	flooding.Go(func() {
		text := bytes.Repeat([]byte("yyyyyyy\n"), 8<<10)
		for {
			select {
			case <-stop:
				return
			default:
				flood.out.Write(text)
			}
		}
	})
	c.wait(t, "/flood 1", func(got string) bool { return len(got) > 1<<20 })
	for i := range 100 {
		quiet.out.WriteString("hello\n")
		c.wait(t, "/quiet 1", exactly(strings.Repeat("hello\n", i+1)))
	}
	close(stop)
	flooding.Wait()
}

func TestTheLastLinesStayOverLives(t *testing.T) {
	p, c := newPump(t)
	for life := range uint64(3) {
		w := add(t, p, "/w", life+1)
		for i := range 10 {
			fmt.Fprintf(w.out, "life %d line %d\n", life+1, i)
		}
		p.Close(w.ref)
		c.wait(t, "/w 1", func(got string) bool { return strings.HasSuffix(got, fmt.Sprintf("life %d line 9\n", life+1)) })
	}
	last := p.Last("/w", KeptLines)
	if len(last) != KeptLines || last[0].Text != "life 2 line 0" || last[KeptLines-1].Text != "life 3 line 9" || last[0].Incarnation != 2 {
		t.Errorf("kept %+v", last)
	}
	if last = p.Last("/w", 2); len(last) != 2 || last[0].Text != "life 3 line 8" {
		t.Errorf("the last two are %+v", last)
	}
	w := add(t, p, "/w", 4)
	for range 100 {
		w.out.WriteString(strings.Repeat("x", 4000) + "\n")
	}
	p.Close(w.ref)
	c.wait(t, "/w 1", func(got string) bool { return strings.Count(got, "x") == 400_000 })
	if kept := p.Last("/w", KeptLines); len(kept) != keptTogether/keptLine || len(kept[0].Text) != keptLine {
		t.Errorf("%d lines of %d bytes are kept", len(kept), len(kept[0].Text))
	}
	p.Forget("/w")
	if last = p.Last("/w", 20); last != nil {
		t.Errorf("forgotten, and still %v", last)
	}
}

func TestALineIsWaitedFor(t *testing.T) {
	p, _ := newPump(t)
	w := add(t, p, "/w", 1)
	fired := make(chan struct{})
	p.Watch(w.ref, regexp.MustCompile(`^ready to .* calls$`).Match, func() { close(fired) })
	w.out.WriteString("not ready to take calls\nready to ta")
	w.err.WriteString("noise\n")
	w.out.WriteString("ke calls\nready to take calls\n")
	<-fired
}

func TestALineThatCameBeforeTheWatchIsSeen(t *testing.T) {
	p, c := newPump(t)
	w := add(t, p, "/w", 2)
	w.out.WriteString("ready\n")
	c.wait(t, "/w 1", exactly("ready\n"))
	fired := make(chan struct{})
	p.Watch(w.ref, regexp.MustCompile(`^ready$`).Match, func() { close(fired) })
	<-fired
	// What an earlier life has said does not count.
	p.Close(w.ref)
	again := add(t, p, "/w", 3)
	p.Watch(again.ref, func(line []byte) bool { t.Errorf("an earlier life's line %q is looked at", line); return true }, func() {})
}

func TestALastLineIsLookedAt(t *testing.T) {
	p, _ := newPump(t)
	for _, last := range []string{"ready", "reedy"} {
		w := add(t, p, "/"+last, 1)
		seen, fired := false, make(chan struct{})
		p.Watch(w.ref, func(line []byte) bool { seen = string(line) == "ready"; return seen }, func() { close(fired) })
		w.out.WriteString(last)
		p.Close(w.ref)
		<-fired // whether or not it was there: nothing more will come
		if seen != (last == "ready") {
			t.Errorf("of %q was seen: %v", last, seen)
		}
	}
}

// A sink that waits keeps whoever supervises free.
func TestASinkThatWaitsKeepsNobodyElse(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	p, err := NewPump(func(Batch) { entered <- struct{}{}; <-leave })
	if err != nil {
		t.Fatal(err)
	}
	w := add(t, p, "/w", 1)
	w.out.WriteString("one\n")
	<-entered
	other := add(t, p, "/other", 1)
	p.Watch(other.ref, func([]byte) bool { return true }, func() {})
	p.Last("/w", 1)
	p.Close(other.ref)
	p.Close(w.ref)
	close(leave)
	p.Stop()
}

func TestWhoeverWaitsForALineMayCloseTheLife(t *testing.T) {
	p, _ := newPump(t)
	w := add(t, p, "/w", 1)
	closed := make(chan struct{})
	p.Watch(w.ref, func([]byte) bool { return true }, func() { p.Close(w.ref); close(closed) })
	w.out.WriteString("go\n")
	<-closed
}

func TestAClosedOutputCostsNothing(t *testing.T) {
	p, c := newPump(t)
	w := add(t, p, "/w", 1)
	w.out.Close()
	w.err.WriteString("still here\n")
	c.wait(t, "/w 2", exactly("still here\n"))
	p.mu.Lock()
	l := p.lives[w.ref]
	p.mu.Unlock()
	p.Stop() // from here on the life is the test's to look at
	if l.fds[0] != -1 {
		t.Errorf("the ended pipe is still open, as descriptor %d", l.fds[0])
	}
}

func TestABatchCrossesALink(t *testing.T) {
	want := Batch{Path: "/web/api", Stream: Stderr, Lines: []byte("a\n\x00\xff\n")}
	data, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got Batch
	if err := got.UnmarshalBinary(data); err != nil || got.Path != want.Path || got.Stream != want.Stream || !bytes.Equal(got.Lines, want.Lines) {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range 11 {
		if err := got.UnmarshalBinary(data[:i]); err == nil {
			t.Errorf("%d bytes were read as a batch", i)
		}
	}
	if err := got.UnmarshalBinary([]byte{3, 0, 0}); err == nil {
		t.Error("stream 3 was accepted")
	}
}

func TestASilentChildCostsNextToNothing(t *testing.T) {
	const children, most = 1000, 400
	p, _ := newPump(t)
	var before, after runtime.MemStats
	refs := make([]tree.Ref, children)
	paths := make([]string, children)
	for i := range refs {
		paths[i] = fmt.Sprintf("/child-%d", i)
		refs[i] = tree.Ref{ID: paths[i][1:], Incarnation: 1}
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i, ref := range refs {
		if err := p.Add(ref, paths[i], -1, -1); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / children
	t.Logf("%d bytes a child", each)
	if each > most {
		t.Errorf("a silent child costs %d bytes, more than %d", each, most)
	}
}
