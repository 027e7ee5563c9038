package output

import (
	"bytes"
	"time"
)

// What is kept of each child that ever printed: so many lines, each cut at so
// many bytes, and together no more than so many.
const (
	KeptLines    = 20
	keptLine     = 1 << 10
	keptTogether = 8 << 10
)

// recent is the last lines of one path, over all its lives.
type recent struct {
	lines []Line // oldest first
	bytes int
}

// add keeps the last of some whole lines. Of a flood it looks only at the end.
func (r *recent) add(now time.Time, from Stream, incarnation uint64, lines []byte) {
	lines = lastLines(lines, KeptLines)
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		r.push(Line{now, from, incarnation, string(line[:min(len(line), keptLine)])})
	}
}

func (r *recent) push(l Line) {
	r.bytes += len(l.Text)
	drop := 0
	for drop < len(r.lines) && (len(r.lines)-drop >= KeptLines || r.bytes > keptTogether) {
		r.bytes -= len(r.lines[drop].Text)
		drop++
	}
	kept := copy(r.lines, r.lines[drop:])
	clear(r.lines[kept:])
	r.lines = append(r.lines[:kept], l)
}

// lastLines is the last n of some whole lines.
func lastLines(lines []byte, n int) []byte {
	at := len(lines)
	for range n {
		at = bytes.LastIndexByte(lines[:max(at-1, 0)], '\n') + 1
		if at == 0 {
			break
		}
	}
	return lines[at:]
}
