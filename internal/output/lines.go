package output

import "bytes"

// MaxLine is the longest line that is delivered as one, in bytes. A longer one
// is split, and its pieces are marked with LineMark where they belong together.
const MaxLine = 64 << 10

// LineMark stands at the end of a piece of a long line, and at the start of
// the next one.
const LineMark = "[...]"

// tail is the unfinished line of a stream. The zero tail is empty.
type tail struct {
	piece []byte
	long  bool // piece continues a line that was too long
}

// split delivers the whole lines of what was read, in as few calls as it goes,
// and keeps the rest.
func (t *tail) split(read []byte, deliver func([]byte)) {
	if len(t.piece) > 0 || t.long {
		end := bytes.IndexByte(read, '\n') + 1
		if end == 0 {
			t.keep(read, deliver)
			return
		}
		t.keep(read[:end-1], deliver)
		t.flush(deliver)
		read = read[end:]
	}
	end := bytes.LastIndexByte(read, '\n') + 1
	if end > 0 {
		deliver(read[:end])
	}
	t.keep(read[end:], deliver)
}

// keep adds to the unfinished line, and delivers it by pieces while it is too long.
func (t *tail) keep(more []byte, deliver func([]byte)) {
	for len(t.piece)+len(more) > MaxLine {
		room := MaxLine - len(t.piece)
		t.piece = append(append(t.piece, more[:room]...), LineMark...)
		more = more[room:]
		t.deliver(deliver)
		t.long = true
	}
	if len(more) > 0 {
		t.piece = append(t.piece, more...)
	}
}

// flush delivers the unfinished line as it is, with a newline.
func (t *tail) flush(deliver func([]byte)) {
	if len(t.piece) > 0 || t.long {
		t.deliver(deliver)
	}
	t.long = false
}

func (t *tail) deliver(deliver func([]byte)) {
	if t.long {
		t.piece = append([]byte(LineMark), t.piece...)
	}
	t.piece = append(t.piece, '\n')
	deliver(t.piece)
	t.piece = nil
}

// sees says whether one of the lines matches.
func (w *watch) sees(lines []byte) bool {
	for line := range bytes.Lines(lines) {
		if w.match(bytes.TrimSuffix(line, []byte{'\n'})) {
			return true
		}
	}
	return false
}
