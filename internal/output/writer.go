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
)

// Writer prints the children's lines on supervise's own standard output and
// error, with the path in front. Whatever the reader at the other end does,
// nobody waits for him: what finds the queue full, or cannot be written, is
// dropped, counted, and told of where it is missing. Its methods may be called
// from any goroutine.
type Writer struct {
	out, err *queue
	colour   [2]bool
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
	q.push(b.Lines, prefix(b.Path, colour))
}

// Log is where the program's own log goes: standard error, in turn with the
// children's lines, and as patient as they are. Each Write is whole lines.
func (w *Writer) Log() LogWriter { return LogWriter{w.err} }

// LogWriter is an io.Writer that never waits and never fails.
type LogWriter struct{ q *queue }

// Write queues whole lines.
func (l LogWriter) Write(lines []byte) (int, error) {
	l.q.push(lines, nil)
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

	mu      sync.Mutex
	more    sync.Cond
	waiting []byte
	missing uint64 // lines dropped since the reader was last told
	dropped uint64 // lines dropped in all
	ended   bool
}

func newQueue(fd int) *queue {
	q := &queue{fd: fd, done: make(chan struct{})}
	q.more.L = &q.mu
	go q.run()
	return q
}

// push queues lines with a prefix each, or drops them if there is no room.
func (q *queue) push(lines, prefix []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for line := range bytes.Lines(lines) {
		if len(q.waiting)+len(prefix)+len(line) > maxQueue {
			q.missing++
			q.dropped++
			continue
		}
		q.tell()
		q.waiting = append(append(q.waiting, prefix...), line...)
	}
	q.more.Signal()
}

// tell says in the stream how many lines are missing at this place.
func (q *queue) tell() {
	if q.missing == 0 {
		return
	}
	lines := "lines"
	if q.missing == 1 {
		lines = "line"
	}
	q.waiting = fmt.Appendf(q.waiting, "--- %d %s dropped ---\n", q.missing, lines)
	q.missing = 0
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

// run writes whatever is queued, all of it at a time.
func (q *queue) run() {
	defer close(q.done)
	var spare []byte
	end := byte('\n') // of what was written last
	worked := true
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.ended {
			q.more.Wait()
		}
		if worked {
			q.tell()
		}
		now := q.waiting
		q.waiting = spare[:0]
		q.mu.Unlock()
		if len(now) == 0 {
			return
		}
		end, worked = q.write(now, end)
		if spare = now; cap(spare) > keepSpare {
			spare = nil
		}
	}
}

// write puts lines out, and first finishes a line that was cut. What cannot be
// written is dropped and counted; the next lines are tried again, because a
// full disk may be emptied. It returns the last byte that is out.
func (q *queue) write(lines []byte, end byte) (byte, bool) {
	if end != '\n' {
		if _, err := q.put([]byte{'\n'}); err != nil {
			q.drop(lines)
			return end, false
		}
		end = '\n'
	}
	n, err := q.put(lines)
	if n > 0 {
		end = lines[n-1]
	}
	if err != nil {
		q.drop(lines[n:])
	}
	return end, err == nil
}

// put writes all of b, or as much as goes until an error.
func (q *queue) put(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(q.fd, b[written:])
		written += max(n, 0)
		if err == unix.EAGAIN {
			// Somebody made the descriptor non-blocking for all who share it.
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLOUT}}, -1)
		}
		if err != nil && err != unix.EINTR {
			return written, err
		}
	}
	return written, nil
}

// drop counts lines that could not be written.
func (q *queue) drop(lines []byte) {
	n := uint64(bytes.Count(lines, []byte{'\n'}))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.missing += n
	q.dropped += n
}
