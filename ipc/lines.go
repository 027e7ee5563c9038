package ipc

import (
	"bytes"
	"encoding/json"
)

// lineSlack is how much longer than a message its line may be, in bytes.
const lineSlack = 4096

// Lines stands between a switch and a worker in line mode. It puts pieces
// together, gives calls ids that every JSON parser can hold, and remembers the
// worker's own, which may be strings. The zero value is ready; it is for one
// goroutine at a time.
type Lines struct {
	// Limit bounds a message, in bytes; 0 is DefaultMessage.
	Limit int

	tail     []byte
	assemble Assembler
	given    map[uint64]uint64 // id that the worker was given → the switch's label
	labels   map[uint64]uint64 // the other way
	last     uint64
	theirs   map[string]uint64 // id of the worker's own call, as it stood → id in frames
	mine     map[uint64]string // the other way
	lastOwn  uint64
}

// Feed calls f with the frames of each line that b completes. A line that is
// no message is *Malformed.
func (l *Lines) Feed(b []byte, f func(*Frame) error) error {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.tail = append(l.tail, b...)
			if len(l.tail) > l.limit()+lineSlack {
				return malformed(l.tail, "a line of more than %d bytes", l.limit()+lineSlack)
			}
			return nil
		}
		line := b[:i]
		if len(l.tail) > 0 {
			line = append(l.tail, line...)
			l.tail = nil
		}
		b = b[i+1:]
		if len(line) > l.limit()+lineSlack {
			return malformed(line, "a line of more than %d bytes", l.limit()+lineSlack)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := l.in(line, f); err != nil {
			return err
		}
	}
}

// in translates one line of the worker.
func (l *Lines) in(line []byte, f func(*Frame) error) error {
	m, id, err := parseLine(line)
	if err != nil {
		return err
	}
	switch m.Type {
	case Call:
		if m.ID, err = l.own(id); err != nil {
			return err
		}
	case Cast:
		l.lastOwn++ // for pieces
		m.ID = l.lastOwn
	case Reply, Error:
		label, ok := l.given[number(id)]
		if !ok {
			return nil // an answer that nobody waits for
		}
		m.ID = label
		l.forget(label)
	case Cancel:
		own, ok := l.theirs[string(id)]
		if !ok {
			return nil
		}
		m.ID = own
		l.release(own)
	}
	return m.Frames(nil, func(piece *Frame) error {
		own := *piece // the switch writes the next address into the header, from which the next piece is made
		return f(&own)
	})
}

// own is the id in frames for a call of the worker.
func (l *Lines) own(id json.RawMessage) (uint64, error) {
	if len(id) > 256 {
		return 0, malformed(id, "an id of %d bytes", len(id))
	}
	if len(l.theirs) >= 2*Window+maxMonitors {
		return 0, malformed(id, "more than %d open calls", len(l.theirs))
	}
	if l.theirs == nil {
		l.theirs, l.mine = map[string]uint64{}, map[uint64]string{}
	}
	if old, ok := l.theirs[string(id)]; ok {
		delete(l.mine, old) // doubled: the sender's own loss
	}
	l.lastOwn++
	l.theirs[string(id)], l.mine[l.lastOwn] = l.lastOwn, string(id)
	return l.lastOwn, nil
}

// number is an id that the worker was given; 0 is none.
func number(id json.RawMessage) uint64 {
	var n uint64
	if json.Unmarshal(bytes.Trim(id, `"`), &n) != nil {
		return 0
	}
	return n
}

// Out translates a frame for the worker: line is nil while pieces are missing.
// A message that cannot be a line (its payload is not JSON) is answered by
// back, a frame for the switch as if the worker had sent it.
func (l *Lines) Out(f *Frame) (line []byte, back *Frame, err error) {
	l.assemble.Limit = l.Limit
	if f.Type == Cancel {
		id, ok := l.labels[f.ID]
		l.assemble.drop(pieceKey{Call, f.ID})
		l.assemble.drop(pieceKey{Cast, f.ID})
		if !ok {
			return nil, nil, nil
		}
		l.forget(f.ID)
		m := Message{Type: Cancel, ID: id}
		line, err = m.AppendLine(nil)
		return line, nil, err
	}
	m, done, err := l.assemble.Add(f)
	if err != nil || !done {
		return nil, nil, err
	}
	id, known := l.id(&m)
	if !known {
		return nil, nil, nil
	}
	if m.Refused == "" {
		line, err = m.appendLine(nil, id)
	}
	if m.Refused == "" && err == nil {
		return line, nil, nil
	}
	return l.unfit(&m, id)
}

// id is the id that m's line has; an answer to a call that the worker has
// cancelled has none.
func (l *Lines) id(m *Message) (id json.RawMessage, known bool) {
	switch m.Type {
	case Call:
		if l.given == nil {
			l.given, l.labels = map[uint64]uint64{}, map[uint64]uint64{}
		}
		l.last++
		l.given[l.last], l.labels[m.ID] = m.ID, l.last
		return encode(l.last), true
	case Reply, Error:
		text, ok := l.mine[m.ID]
		l.release(m.ID)
		return json.RawMessage(text), ok
	}
	return nil, true
}

// unfit is what becomes of a message that cannot be a line.
func (l *Lines) unfit(m *Message, id json.RawMessage) (line []byte, back *Frame, err error) {
	code := m.Refused
	if code == "" {
		code = CodeBadRequest
	}
	body := encode(ErrorBody{Code: code, Message: "a line carries JSON only"})
	switch m.Type {
	case Call:
		l.forget(m.ID)
		return nil, &Frame{Header: Header{Type: Error, Flags: CodecJSON, ID: m.ID}, Payload: body}, nil
	case Reply, Error:
		sorry := Message{Type: Error, Codec: CodecJSON, ID: m.ID, Src: m.Src, Payload: body}
		line, err = sorry.appendLine(nil, id)
	}
	return line, nil, err
}

func (l *Lines) forget(label uint64) {
	delete(l.given, l.labels[label])
	delete(l.labels, label)
}

func (l *Lines) release(own uint64) {
	text, ok := l.mine[own]
	if !ok {
		return
	}
	if l.theirs[text] == own {
		delete(l.theirs, text)
	}
	delete(l.mine, own)
}

func (l *Lines) limit() int {
	if l.Limit == 0 {
		return DefaultMessage
	}
	return min(l.Limit, MaxMessage)
}
