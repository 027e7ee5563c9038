package output

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// maxTap is how many bytes of lines wait for the reader of a Tap.
const maxTap = 1 << 20

// Tap is one reader of what children print, beside the terminal. Lines that he
// is too slow for are dropped and counted; nobody waits for him.
type Tap struct {
	wants func(path string) bool
	from  *Writer

	mu      sync.Mutex
	lines   []PathLine
	size    int
	dropped uint64
	more    chan struct{} // has a token when there is something new
}

// PathLine is a line with the path of the child that printed it.
type PathLine struct {
	Path string `json:"path"`
	Line
}

// Tap starts to collect the lines of the paths that are wanted, until Close.
// The incarnations of its lines are not known.
func (w *Writer) Tap(wants func(path string) bool) *Tap {
	t := &Tap{wants: wants, from: w, more: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taps == nil {
		w.taps = make(map[*Tap]struct{})
	}
	w.taps[t] = struct{}{}
	return t
}

// Close ends a tap.
func (t *Tap) Close() {
	t.from.mu.Lock()
	defer t.from.mu.Unlock()
	delete(t.from.taps, t)
}

// Next waits for lines, and returns them with the number of those that were
// dropped after them. An error is the context's.
func (t *Tap) Next(ctx context.Context) (lines []PathLine, dropped uint64, err error) {
	for {
		t.mu.Lock()
		lines, dropped = t.lines, t.dropped
		t.lines, t.dropped, t.size = nil, 0, 0
		t.mu.Unlock()
		if len(lines) > 0 || dropped > 0 {
			return lines, dropped, nil
		}
		select {
		case <-t.more:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// tap gives a batch to whoever wants it.
func (w *Writer) tap(b Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.taps {
		if t.wants(b.Path) {
			t.take(time.Now().UTC(), b)
		}
	}
}

func (t *Tap) take(now time.Time, b Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(b.Lines) {
		if t.size+len(line) > maxTap {
			t.dropped++
			continue
		}
		t.size += len(line)
		text := string(bytes.TrimSuffix(line, []byte{'\n'}))
		t.lines = append(t.lines, PathLine{b.Path, Line{At: now, Stream: b.Stream, Text: text}})
	}
	select {
	case t.more <- struct{}{}:
	default:
	}
}
