package ipc

import (
	"fmt"
	"slices"
	"time"
)

// Message is what one or more frames carry: a call, a cast, an answer or a
// cancel, whole.
type Message struct {
	Type  Type
	Codec uint8
	About bool
	ID    uint64
	Dst   Addr
	Src   Addr

	Method      string
	To          string        // a name, a /path or group:g; "": Dst says it
	Left        time.Duration // time left for a call; 0: no limit
	Traceparent []byte        // 25 bytes, or none
	Tracestate  []byte
	Manage      bool // of one that came: the sender may change other workers. It is not sent

	// Payload's bytes are the message's own when it came from Conn.Receive.
	Payload []byte

	// Refused is the code of the error that the message is to be answered with
	// instead of being handled ("" for none): too_large, bad_request or busy. Such
	// a message has no payload.
	Refused string
}

// Frames calls f with m's frames, in order: one, or as many pieces of 64 KiB
// as the payload needs. It stops at f's first error and returns that. The
// frame's bytes are m's own and scratch's; f must not keep them, nor change the
// frame. Scratch may be nil.
func (m *Message) Frames(scratch []byte, f func(*Frame) error) error {
	frame, err := m.Frame(scratch)
	if err != nil {
		return err
	}
	rest := m.Payload
	for {
		n := min(len(rest), MaxPayload)
		frame.Payload, rest = rest[:n], rest[n:]
		if len(rest) > 0 {
			frame.Flags |= More
		} else {
			frame.Flags &^= More
		}
		if err := f(&frame); err != nil || len(rest) == 0 {
			return err
		}
		frame.Fields = nil
	}
}

// Frame is the frame that carries m if its payload is no longer than
// MaxPayload, else the first piece with the whole payload still in it. Its
// fields are written over scratch, which may be nil.
func (m *Message) Frame(scratch []byte) (Frame, error) {
	f := Frame{Payload: m.Payload}
	err := m.head(&f.Header)
	if err == nil {
		f.Fields = m.appendFields(scratch[:0])
	}
	return f, err
}

// head makes the header of m's frame, with the sizes of what follows it.
func (m *Message) head(h *Header) error {
	ext := fieldSize(len(m.Method)) + fieldSize(len(m.To)) + fieldSize(len(m.Traceparent)) + fieldSize(len(m.Tracestate))
	if m.Left > 0 {
		ext += sizeFieldsHead + sizeLeft
	}
	if len(m.Payload) > MaxPayload {
		ext += sizeFieldsHead + sizeTotal
	}
	if len(m.Method) > MaxMethod || ext > MaxExt {
		return fmt.Errorf("writing a message: method or target too long (%d bytes of fields)", ext)
	}
	*h = Header{
		Length: uint32(minLength + ext + len(m.Payload)), Type: m.Type, Flags: m.Codec, Ext: uint16(ext),
		ID: m.ID, Dst: m.Dst, Src: m.Src,
	}
	if m.About {
		h.Flags |= About
	}
	return nil
}

// append writes m, whose payload is no longer than MaxPayload, to the end of b
// as one frame with the header that head has made.
func (m *Message) append(b []byte, h *Header) []byte {
	n := len(b)
	b = slices.Grow(b, int(h.Length)+4)[:n+HeaderSize]
	h.Put(b[n:])
	return append(m.appendFields(b), m.Payload...)
}

func (m *Message) appendFields(b []byte) []byte {
	b = appendField(b, tagMethod, m.Method)
	b = appendField(b, tagTo, m.To)
	if m.Left > 0 || m.Traceparent != nil || m.Tracestate != nil || len(m.Payload) > MaxPayload {
		rest := Fields{Left: m.Left, Traceparent: m.Traceparent, Tracestate: m.Tracestate}
		if len(m.Payload) > MaxPayload {
			rest.Total = uint64(len(m.Payload))
		}
		b = rest.Append(b)
	}
	return b
}

// Message makes a message of a frame that is whole: one without More that
// follows no other piece. The payload is the frame's.
func (f *Frame) Message() (m Message, err error) {
	if err := m.read(f, nil); err != nil {
		return Message{}, err
	}
	return m, nil
}

// read is Message into memory that is there, with the strings that w knows; w
// may be nil.
func (m *Message) read(f *Frame, w *words) error {
	m.Type, m.Codec, m.About = f.Type, f.Flags&CodecMask, f.Flags&About != 0
	m.ID, m.Dst, m.Src, m.Payload = f.ID, f.Dst, f.Src, f.Payload
	m.Method, m.To, m.Left, m.Manage, m.Refused = "", "", 0, false, ""
	m.Traceparent, m.Tracestate = nil, nil
	switch {
	case len(f.Fields) == 0:
	case w != nil && string(f.Fields) == string(w.fields):
		m.Method, m.To, m.Left = w.method, w.to, w.left
	default:
		fields, err := ParseFields(f.Fields)
		if err != nil {
			return err
		}
		m.take(&fields, w)
		if w != nil && m.Traceparent == nil && m.Tracestate == nil && !m.Manage && m.Refused == "" {
			w.fields, w.method, w.to, w.left = append(w.fields[:0], f.Fields...), m.Method, m.To, m.Left
		}
	}
	if (m.Type == Call || m.Type == Cast) && m.Method == "" {
		return malformed(f.Fields, "a call or a cast without a method, or a piece without a first")
	}
	return nil
}

func (m *Message) take(f *Fields, w *words) {
	m.Method, m.To, m.Left, m.Manage = w.of(f.Method), w.of(f.To), f.Left, f.Manage
	if f.Traceparent != nil {
		m.Traceparent = append([]byte(nil), f.Traceparent...)
	}
	if f.Tracestate != nil {
		m.Tracestate = append([]byte(nil), f.Tracestate...)
	}
	if f.Refused != 0 {
		m.Refused = CodeBadRequest
	}
}

// Assembler puts messages together from their pieces. Its memory is bounded
// by Limit and four times Limit: a message that says it is longer than Limit,
// or turns out to be, is handed out without its payload and Refused as
// too_large; one that would take the pieces of all open messages over four
// times Limit is Refused as busy.
type Assembler struct {
	Limit int // of one message, in bytes; 0 is DefaultMessage

	open  map[pieceKey]*piece
	held  int // bytes in open
	words words
	alike bool // the last message was a frame after which one with the same head is another
}

// words keeps one string for each method and target that comes again and
// again: no allocation a message. The same fields twice in a row, which is what
// a caller in a loop sends, are not even parsed.
type words struct {
	known      map[string]string
	fields     []byte // the last that were parsed, unless there is more in them than
	method, to string // this
	left       time.Duration
}

// maxWords bounds it: who makes up more pays for them.
const maxWords = 256

func (w *words) of(b []byte) string {
	if w == nil || len(b) == 0 {
		return string(b)
	}
	s, ok := w.known[string(b)]
	if !ok {
		if w.known == nil || len(w.known) >= maxWords {
			w.known = map[string]string{}
		}
		s = string(b)
		w.known[s] = s
	}
	return s
}

type pieceKey struct {
	t  Type
	id uint64
}

type piece struct {
	m     Message
	total uint64
}

// ReadTo is AddTo with the next frame of r, which it reads into f. It is for one
// reader, and m and f are for nobody else: frames that are alike are known by what
// stands there from the last one. Only m.Payload may have been changed.
func (a *Assembler) ReadTo(m *Message, r *Reader, f *Frame) (done bool, err error) {
	if a.alike && r.again(f) {
		m.Payload, m.Refused = f.Payload, ""
		if len(m.Payload) > a.limit() {
			m.Payload, m.Refused = nil, CodeTooLarge
		}
		return true, nil
	}
	if err := r.ReadTo(f); err != nil {
		return false, err
	}
	a.alike = f.Type == Cast && f.Flags&More == 0 && len(a.open) == 0
	done, err = a.AddTo(m, f)
	a.alike = a.alike && m.Refused != CodeBadRequest
	return done, err
}

// Add takes the next frame of a link. done says that m is whole; its payload
// is f's own if f was the whole message. An error is *Malformed.
func (a *Assembler) Add(f *Frame) (m Message, done bool, err error) {
	if done, err = a.AddTo(&m, f); !done {
		return Message{}, false, err
	}
	return m, true, nil
}

// AddTo is Add into memory that is there. Unless done, m is of no use.
func (a *Assembler) AddTo(m *Message, f *Frame) (done bool, err error) {
	if len(a.open) == 0 && f.Flags&More == 0 {
		err = a.whole(m, f)
		return err == nil, err
	}
	key := pieceKey{f.Type, f.ID}
	p := a.open[key]
	switch {
	case f.Type == Cancel:
		a.drop(pieceKey{Call, f.ID})
		a.drop(pieceKey{Cast, f.ID})
		err = m.read(f, &a.words)
		return err == nil, err
	case p == nil && f.Flags&More == 0:
		if f.Type == Error {
			a.drop(pieceKey{Reply, f.ID}) // an answer that broke off
		}
		err = a.whole(m, f)
		return err == nil, err
	case p == nil:
		if p, err = a.first(f); err != nil {
			return false, err
		}
		a.open[key] = p
	case len(f.Fields) > 0:
		return false, malformed(f.Fields, "a piece after the first has extension fields")
	}
	a.grow(p, f.Payload)
	if f.Flags&More != 0 {
		return false, nil
	}
	if p.m.Refused == "" && p.total != 0 && p.total != uint64(len(p.m.Payload)) {
		a.refuse(p, CodeBadRequest)
	}
	a.drop(key)
	*m = p.m
	return true, nil
}

// whole is a message of one frame.
func (a *Assembler) whole(m *Message, f *Frame) error {
	err := m.read(f, &a.words)
	if err == nil && f.Type != Cancel && len(m.Payload) > a.limit() {
		m.Payload, m.Refused = nil, CodeTooLarge
	}
	return err
}

// Drop forgets every message of which some pieces have come, as when the link
// is gone.
func (a *Assembler) Drop() { a.open, a.held = nil, 0 }

func (a *Assembler) first(f *Frame) (*piece, error) {
	whole := *f
	whole.Payload = nil
	m, err := whole.Message()
	if err != nil {
		return nil, err
	}
	fields, _ := ParseFields(f.Fields) // checked by Message
	p := &piece{m: m, total: fields.Total}
	if p.total > uint64(a.limit()) {
		a.refuse(p, CodeTooLarge)
	}
	if a.open == nil {
		a.open = map[pieceKey]*piece{}
	}
	return p, nil
}

func (a *Assembler) grow(p *piece, b []byte) {
	switch {
	case p.m.Refused != "":
	case len(p.m.Payload)+len(b) > a.limit():
		a.refuse(p, CodeTooLarge)
	case a.held+len(b) > 4*a.limit():
		a.refuse(p, CodeBusy)
	default:
		p.m.Payload = append(p.m.Payload, b...)
		a.held += len(b)
	}
}

func (a *Assembler) refuse(p *piece, code string) {
	a.held -= len(p.m.Payload)
	p.m.Payload, p.m.Refused = nil, code
}

func (a *Assembler) drop(key pieceKey) {
	if p := a.open[key]; p != nil {
		a.held -= len(p.m.Payload)
		delete(a.open, key)
	}
}

func (a *Assembler) limit() int {
	if a.Limit == 0 {
		return DefaultMessage
	}
	return min(a.Limit, MaxMessage)
}
