package output

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of a Writer.
const (
	maxQueue  = 1 << 20         // bytes that wait for one descriptor
	keepSpare = 64 << 10        // bytes of buffer kept while nothing waits
	endWait   = 2 * time.Second // how long Close waits for a slow reader
	// grace is how long the children's lines wait for room where the reader
	// has kept up so far: it tells a burst from a reader that is too slow.
	grace = time.Second
)

// Writer prints the children's lines on supervise's own standard output and
// error, with the path in front. Whatever the reader at the other end does,
// nobody waits for him, but for a moment in a burst: what finds the queue full, or cannot be written, is
// dropped, counted, and told of where it is missing. Its methods may be called
// from any goroutine.
type Writer struct {
	out, err *queue
	colour   [2]bool

	mu   sync.Mutex
	taps map[*Tap]struct{}
}

// NewWriter starts a writer on two descriptors, which stay the caller's.
// colour says for each whether paths are coloured.
func NewWriter(stdout, stderr int, colour [2]bool) *Writer {
	return &Writer{out: newQueue(stdout), err: newQueue(stderr), colour: colour}
}

// Output prints a batch: a sink for a Pump.
func (w *Writer) Output(b Batch) {
	q, colour := w.out, w.colour[0]
	if b.Stream == Stderr {
		q, colour = w.err, w.colour[1]
	}
	w.tap(b)
	q.push(b.Lines, prefix(b.Path, colour), true)
}

// Log is where the program's own log goes: standard error, in turn with the
// children's lines, and as patient as they are. Each Write is whole lines.
func (w *Writer) Log() LogWriter { return LogWriter{w.err} }

// LogWriter is an io.Writer that never waits and never fails.
type LogWriter struct{ q *queue }

// Write queues whole lines.
func (l LogWriter) Write(lines []byte) (int, error) {
	l.q.push(lines, nil, false)
	return len(lines), nil
}

// Dropped is how many lines were not written so far.
func (w *Writer) Dropped() uint64 { return w.out.lost() + w.err.lost() }

// Close writes what is queued, but waits no longer than two seconds for a
// reader that does not read. Nothing may be printed afterwards.
func (w *Writer) Close() {
	timeout := time.After(endWait)
	for _, q := range []*queue{w.out, w.err} {
		q.end()
		select {
		case <-q.done:
		case <-timeout:
			return
		}
	}
}

// The colours that tell paths apart: the terminal's own, without the two that
// are hard to read on white or on black.
var colours = [...]string{"32", "33", "34", "35", "36", "91", "92", "94", "95", "96"}

// prefix is what stands in front of each line of a path.
func prefix(path string, colour bool) []byte {
	if !colour {
		return []byte(path + " | ")
	}
	return fmt.Appendf(nil, "\x1b[%sm%s |\x1b[0m ", Colour(path), path)
}

// Colour is the terminal's code of the colour in which a path is shown.
func Colour(path string) string {
	h := fnv.New32a()
	h.Write([]byte(path))
	return colours[h.Sum32()%uint32(len(colours))]
}

// queue is what waits to be written to one descriptor.
type queue struct {
	fd   int
	done chan struct{} // closed when everything is written after end
	took chan struct{} // has a token when the writer has made room

	mu      sync.Mutex
	more    sync.Cond
	waiting []byte
	crowded uint64 // lines that found waiting full, to be told after it
	failed  uint64 // lines that could not be written, to be told before it
	dropped uint64 // lines dropped in all
	ended   bool
	slow    bool // the grace was in vain since room was last made
}

func newQueue(fd int) *queue {
	q := &queue{fd: fd, done: make(chan struct{}), took: make(chan struct{}, 1)}
	q.more.L = &q.mu
	go q.run()
	return q
}

// push queues lines with a prefix each, or drops them if there is no room. A
// patient one waits for room, for as long as the grace.
func (q *queue) push(lines, prefix []byte, patient bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for line := range bytes.Lines(lines) {
		size := len(prefix) + len(line)
		if len(q.waiting)+size > maxQueue && patient && !q.slow {
			q.more.Signal()
			q.await(size)
		}
		if len(q.waiting)+size > maxQueue {
			q.crowded++
			q.dropped++
			continue
		}
		q.waiting = append(append(q.waiting, prefix...), line...)
	}
	q.more.Signal()
}

// await lets go of the lock until there is room, or the grace is over.
func (q *queue) await(size int) {
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	for len(q.waiting)+size > maxQueue && !q.slow {
		q.mu.Unlock()
		select {
		case <-q.took:
			q.mu.Lock()
		case <-timeout.C:
			q.mu.Lock()
			q.slow = len(q.waiting)+size > maxQueue
			return
		}
	}
}

func (q *queue) lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.more.Signal()
}

// run writes whatever is queued, all of it at a time, and tells of what is
// missing where it is missing: what could not be written before it, what found
// the queue full after it.
func (q *queue) run() {
	defer close(q.done)
	var spare []byte
	w := lineWriter{fd: q.fd, end: '\n'}
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.ended {
			q.more.Wait()
		}
		now, before, after := q.waiting, q.failed, q.crowded
		q.waiting, q.failed, q.crowded, q.slow = spare[:0], 0, 0, false
		q.mu.Unlock()
		select {
		case q.took <- struct{}{}:
		default:
		}
		untold := w.tell(before)
		lost := w.write(now)
		untold += lost + w.tell(after)
		if len(now) == 0 {
			return
		}
		q.fail(untold, lost)
		if spare = now; cap(spare) > keepSpare {
			spare = nil
		}
	}
}

// fail notes lines that were lost, and those of which the reader does not know.
func (q *queue) fail(untold, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed += untold
	q.dropped += lost
}

// lineWriter writes lines to a descriptor. After an error the next lines are
// tried again, because a full disk may be emptied.
type lineWriter struct {
	fd  int
	end byte // the last byte that is out
}

// write puts lines out, after the end of a line that was cut, and returns how
// many did not get there.
func (w *lineWriter) write(lines []byte) (lost uint64) {
	if len(lines) == 0 {
		return 0
	}
	if w.end != '\n' {
		if _, err := w.put([]byte{'\n'}); err != nil {
			return uint64(bytes.Count(lines, []byte{'\n'}))
		}
	}
	n, err := w.put(lines)
	if err != nil {
		lost = uint64(bytes.Count(lines[n:], []byte{'\n'}))
	}
	return lost
}

// tell says how many lines are missing here, and returns those of which it
// could not.
func (w *lineWriter) tell(missing uint64) (untold uint64) {
	lines := "lines"
	switch missing {
	case 0:
		return 0
	case 1:
		lines = "line"
	}
	if w.write(fmt.Appendf(nil, "--- %d %s dropped ---\n", missing, lines)) > 0 {
		return missing
	}
	return 0
}

// put writes all of b, or as much as goes until an error.
func (w *lineWriter) put(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(w.fd, b[written:])
		if n > 0 {
			written += n
			w.end = b[written-1]
		}
		if err == unix.EAGAIN {
			// Somebody made the descriptor non-blocking for all who share it.
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLOUT}}, -1)
		}
		if err != nil && err != unix.EINTR {
			return written, err
		}
	}
	return written, nil
}
