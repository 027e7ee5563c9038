package ipc

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// Splitter cuts a stream of bytes into frames. The bytes stay the caller's:
// between two calls it keeps only the beginning of a frame that is not whole,
// so that one buffer serves any number of idle pipes. The zero value is ready.
type Splitter struct {
	// Spare is where the memory for frames that come in parts is taken from and
	// given back to, by any number of splitters of one goroutine; nil: the heap.
	Spare *Spare

	tail  []byte
	frame Frame // what f is called with: no allocation a frame
}

// Spare keeps memory for frames that come in parts. The zero value is ready.
type Spare struct{ free [][]byte }

// The bounds of a Spare: so many buffers, and none much larger than a frame.
const (
	spareBuffers = 8
	spareSize    = 96 << 10
)

func (s *Spare) take() []byte {
	if s == nil || len(s.free) == 0 {
		return nil
	}
	last := len(s.free) - 1
	b := s.free[last]
	s.free = s.free[:last]
	return b[:0]
}

func (s *Spare) give(b []byte) {
	if s != nil && len(s.free) < spareBuffers && cap(b) <= spareSize {
		s.free = append(s.free, b)
	}
}

// Feed calls f with each frame that b completes, in order, and keeps what is
// left. The frame's bytes are valid until f returns. It stops at f's first
// error, or at the first malformed frame (*Malformed), and returns that; the
// splitter is then of no more use.
func (s *Splitter) Feed(b []byte, f func(*Frame) error) error {
	for len(s.tail) > 0 && len(b) > 0 {
		take := min(len(b), s.missing())
		if take > cap(s.tail)-len(s.tail) {
			s.tail = slices.Grow(s.tail, s.missing()) // once, to the frame's whole size
		}
		s.tail, b = append(s.tail, b[:take]...), b[take:]
		n, err := s.frame.parse(s.tail)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := f(&s.frame); err != nil {
				return err
			}
			s.Spare.give(s.tail)
			s.tail = nil
		}
	}
	for len(b) > 0 {
		n, err := s.frame.parse(b)
		if err != nil {
			return err
		}
		if n == 0 {
			s.tail = append(s.Spare.take(), b...)
			return nil
		}
		if err := f(&s.frame); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// missing is how many bytes the frame of which tail is the beginning still
// needs before more can be said about it.
func (s *Splitter) missing() int {
	if len(s.tail) < HeaderSize {
		return HeaderSize - len(s.tail)
	}
	return int(binary.BigEndian.Uint32(s.tail)) + 4 - len(s.tail)
}

// Pending is the number of bytes of an unfinished frame.
func (s *Splitter) Pending() int { return len(s.tail) }

// readSize is the size of a reader's buffer: that of a pipe.
const readSize = 64 << 10

// Reader reads frames from a pipe with a buffer of its own. It is for one
// goroutine at a time.
type Reader struct {
	r     io.Reader
	buf   []byte
	start int // buf[start:end] is read and not handed out
	end   int
	last  int // buf[last:start] is the last frame; start: it is there no more
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Read returns the next frame, whose bytes are valid until the next Read. At
// the end of the pipe it returns io.EOF; a frame that the end cuts off is not
// an error of its own. A frame that cannot be one is *Malformed.
func (r *Reader) Read() (f Frame, err error) {
	if err = r.ReadTo(&f); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// ReadTo is Read into memory that is there. After an error f is of no use.
func (r *Reader) ReadTo(f *Frame) error {
	for {
		n, err := f.parse(r.buf[r.start:r.end])
		if err != nil {
			return err
		}
		if n > 0 {
			r.last, r.start = r.start, r.start+n
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// again reads the next frame into f, the last one, if it is there and the same
// but for its payload: nothing of it has to be looked at again.
func (r *Reader) again(f *Frame) bool {
	head := HeaderSize + len(f.Fields)
	if r.start == r.last || r.end-r.start < head {
		return false
	}
	b, old := r.buf[r.start:r.end], r.buf[r.last:r.start]
	if string(b[sizeLength:head]) != string(old[sizeLength:head]) {
		return false
	}
	length := binary.BigEndian.Uint32(b)
	size := int(length) + sizeLength
	if length > maxLength || size < head || size-head > MaxPayload || size > len(b) {
		return false
	}
	f.Length, f.Payload = length, b[head:size:size]
	r.last, r.start = r.start, r.start+size
	return true
}

// Buffered says whether another whole frame can be read without waiting, or
// what is there is none.
func (r *Reader) Buffered() bool {
	b := r.buf[r.start:r.end]
	if len(b) < 4 {
		return false
	}
	length := binary.BigEndian.Uint32(b)
	return length > maxLength || len(b) >= int(length)+4
}

func (r *Reader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, readSize+HeaderSize+MaxExt)
	}
	copy(r.buf, r.buf[r.start:r.end])
	r.last, r.start, r.end = 0, 0, r.end-r.start
	n, err := r.r.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}
