package output

import "bytes"

// MaxLine is the longest line that is delivered as one, in bytes. A longer one
// is split, and its pieces are marked with LineMark where they belong together.
const MaxLine = 64 << 10

// LineMark stands at the end of a piece of a long line, and at the start of
// the next one.
const LineMark = "[...]"

// tail is the unfinished line of a stream. The zero tail is empty. All pieces
// of a long line are made in the same memory, which goes with the line.
type tail struct {
	piece []byte
	mark  int // so much of piece is the LineMark of a line that was too long
}

// split delivers the whole lines of what was read, in as few calls as it goes,
// and keeps the rest.
func (t *tail) split(read []byte, deliver func([]byte)) {
	if len(t.piece) > 0 {
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
	for len(t.piece)-t.mark+len(more) > MaxLine {
		room := MaxLine - (len(t.piece) - t.mark)
		t.piece = append(append(t.piece, more[:room]...), LineMark+"\n"...)
		deliver(t.piece)
		t.piece, t.mark = append(t.piece[:0], LineMark...), len(LineMark)
		more = more[room:]
	}
	t.piece = append(t.piece, more...)
}

// flush delivers the unfinished line as it is, with a newline.
func (t *tail) flush(deliver func([]byte)) {
	if len(t.piece) > 0 {
		deliver(append(t.piece, '\n'))
	}
	*t = tail{}
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
