package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/supertrees/supervise/ipc"
)

const (
	unknown     = "conformance.unknown"
	unknownVerb = "$conformance.unknown"
	comesUp     = "hello"

	atOnce    = 1000 // calls, a little below the window
	casts     = 10_000
	inPieces  = 200_000 // bytes
	tagIgnore = 0x70    // an extension field that may be skipped
	tagRefuse = 0x90    // one that may not
	tagTotal  = 6
)

func checks() []check {
	return []check{
		{name: comesUp, up: func(*life) error { return nil }},
		{name: "no version in common", raw: noVersion},
		{name: "ping", up: ping},
		{name: "ping of the mailbox", up: pingMailbox},
		{name: "unknown method", up: unknownMethod},
		{name: "unknown verb", up: unknownVerbs},
		{name: "call", up: calls},
		{name: "cast", up: manyCasts},
		{name: "deadline", up: deadline},
		{name: "cancel", up: cancel},
		{name: "long message", up: long},
		{name: "pieces among others", frames: true, up: piecesAmongOthers},
		{name: "pieces broken off", frames: true, up: piecesBrokenOff},
		{name: "wrong total", frames: true, up: wrongTotal},
		{name: "too large", frames: true, up: tooLarge},
		{name: "unknown fields", frames: true, up: unknownFields},
		{name: "flow marks", up: flow},
		{name: "reads while nobody reads it", frames: true, up: alwaysReads},
		{name: "stop", up: stop},
		{name: "stop signal", up: stopSignal},
		{name: "end of the pipe", up: endOfPipe},
		{name: "malformed", frames: true, up: malformed},
	}
}

// comeUp starts the worker and waits until it is up.
func (l *life) comeUp() error {
	if err := l.start(ipc.Version); err != nil {
		return err
	}
	if err := l.hello(ipc.Version); err != nil {
		return err
	}
	m, err := l.said(ipc.VerbReady, ipc.VerbIgnore, ipc.VerbFailed)
	if err == nil && m.Method != ipc.VerbReady {
		err = fmt.Errorf("it says %s %s", m.Method, m.Payload)
	}
	return err
}

// hello wants the worker's first message.
func (l *life) hello(version int) error {
	m, err := l.next()
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", ipc.VerbHello, err)
	}
	var w ipc.Welcome
	if m.Type != ipc.Cast || m.Method != ipc.VerbHello || json.Unmarshal(m.Payload, &w) != nil {
		return fmt.Errorf("its first message is %s %.100s, and no %s", m.Method, m.Payload, ipc.VerbHello)
	}
	if w.Protocol != version {
		return fmt.Errorf("it says protocol %d, and not %d", w.Protocol, version)
	}
	return nil
}

func noVersion(l *life) error {
	if err := l.start(ipc.Version + 1); err != nil {
		return err
	}
	if err := l.hello(0); err != nil {
		return err
	}
	_, err := l.ended()
	return err
}

func ping(l *life) error        { return l.pinged("") }
func pingMailbox(l *life) error { return l.pinged(`{"mailbox":true}`) }

// pinged: a worker may refuse every verb.
func (l *life) pinged(payload string) error {
	a, err := l.ask(ipc.VerbPing, payload)
	if a.code == ipc.CodeNoMethod {
		return nil
	}
	return a.want(err, "")
}

func unknownMethod(l *life) error {
	a, err := l.ask(unknown, `{"some":["payload"]}`)
	return a.want(err, ipc.CodeNoMethod)
}

func unknownVerbs(l *life) error {
	a, err := l.ask(unknownVerb, "")
	if err := a.want(err, ipc.CodeNoMethod); err != nil {
		return err
	}
	if err := l.cast(unknownVerb, 1); err != nil {
		return err
	}
	return l.alive()
}

// want is nil if that is the answer: an error's code, or "" for a reply.
func (a answer) want(err error, code string) error {
	switch {
	case err != nil || a.code == code:
		return err
	case code == "":
		return fmt.Errorf("the answer is the error %s", a.code)
	case a.code == "":
		return fmt.Errorf("the answer is %.100s, and not the error %s", a.payload, code)
	}
	return fmt.Errorf("the answer is the error %s, and not %s", a.code, code)
}

// alive wants one more answer of the kind that every worker has.
func (l *life) alive() error {
	a, err := l.ask(unknown, "")
	if err := a.want(err, ipc.CodeNoMethod); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return nil
}

// request is a call with a payload of that many bytes, and what is wrong with
// its answer: an echo of it, where the worker has a method for that.
func (l *life) request(size, n int) (ipc.Message, func(answer, error) error) {
	payload := []byte(fmt.Sprintf(`"%d %s"`, n, strings.Repeat("x", size)))
	if l.o.Echo == "" {
		return l.message(unknown, payload), func(a answer, err error) error { return a.want(err, ipc.CodeNoMethod) }
	}
	return l.message(l.o.Echo, payload), func(a answer, err error) error {
		if err := a.want(err, ""); err != nil {
			return err
		}
		if !bytes.Equal(a.payload, payload) {
			return fmt.Errorf("%s answers with %d bytes, %.100s, and not with what it was given", l.o.Echo, len(a.payload), a.payload)
		}
		return nil
	}
}

// several makes calls at once, and wants an answer to each.
func (l *life) several(n, size int, sent func() error) error {
	type pending struct {
		id    uint64
		wrong func(answer, error) error
	}
	var all []pending
	for i := range n {
		m, wrong := l.request(size, i)
		id, err := l.call(m)
		if err != nil {
			return err
		}
		all = append(all, pending{id, wrong})
	}
	if err := sent(); err != nil {
		return err
	}
	for _, p := range all {
		if err := p.wrong(l.answer(p.id)); err != nil {
			return err
		}
	}
	return l.alive()
}

func calls(l *life) error { return l.several(atOnce, 1, func() error { return nil }) }

func manyCasts(l *life) error {
	for range casts {
		m := l.message(unknown, []byte(`"nobody answers"`))
		m.Type, m.ID = ipc.Cast, 0
		if err := l.send(m); err != nil {
			return err
		}
	}
	return l.alive()
}

// deadline: a call may be answered after its time, or not. One that has time is.
func deadline(l *life) error {
	m, _ := l.request(1, 0)
	m.Left = time.Microsecond
	if _, err := l.call(m); err != nil {
		return err
	}
	if err := l.send(ipc.Message{Type: ipc.Cancel, ID: m.ID}); err != nil {
		return err
	}
	m, wrong := l.request(1, 1)
	m.Left = time.Hour
	id, err := l.call(m)
	if err != nil {
		return err
	}
	return wrong(l.answer(id))
}

func cancel(l *life) error {
	for i := range atOnce {
		m, _ := l.request(1, i)
		if _, err := l.call(m); err != nil {
			return err
		}
		if err := l.send(ipc.Message{Type: ipc.Cancel, ID: m.ID}); err != nil {
			return err
		}
	}
	nothing := ipc.Message{Type: ipc.Cancel, ID: 1 << 20} // so many calls there were not
	b, err := nothing.AppendLine(nil)
	if l.lines == nil {
		var f ipc.Frame
		f, err = nothing.Frame(nil)
		b = f.Append(nil)
	}
	if err != nil {
		return err
	}
	l.put(b)
	return l.alive()
}

func long(l *life) error {
	m, wrong := l.request(inPieces, 0)
	id, err := l.call(m)
	if err != nil {
		return err
	}
	if err := wrong(l.answer(id)); err != nil {
		return err
	}
	return l.alive()
}

// cut is a message as frames.
func cut(m ipc.Message, scratch ...byte) (all [][]byte, err error) {
	err = m.Frames(scratch, func(f *ipc.Frame) error { all = append(all, f.Append(nil)); return nil })
	return all, err
}

// piecesAmongOthers: between the pieces of one call stand those of a second,
// and a third that is short.
func piecesAmongOthers(l *life) error {
	one, wrongOne := l.request(inPieces, 1)
	two, wrongTwo := l.request(inPieces, 2)
	first, err := cut(one)
	if err != nil {
		return err
	}
	second, err := cut(two)
	if err != nil {
		return err
	}
	l.open[one.ID], l.open[two.ID] = true, true
	for i := range first {
		l.put(append(first[i], second[i]...))
		if i == 0 {
			if err := l.alive(); err != nil {
				return fmt.Errorf("with pieces open: %w", err)
			}
		}
	}
	return errors.Join(wrongOne(l.answer(one.ID)), wrongTwo(l.answer(two.ID)))
}

func piecesBrokenOff(l *life) error {
	for range atOnce + window { // more than may be open at a time
		m, _ := l.request(inPieces, 0)
		pieces, err := cut(m)
		if err != nil {
			return err
		}
		l.put(pieces[0])
		if err := l.send(ipc.Message{Type: ipc.Cancel, ID: m.ID}); err != nil {
			return err
		}
	}
	return l.alive()
}

// refused sends frames of a call, and wants that error for it.
func (l *life) refused(m *ipc.Message, frames []byte, code string) error {
	l.open[m.ID] = true
	l.put(frames)
	a, err := l.answer(m.ID)
	if err := a.want(err, code); err != nil {
		return err
	}
	return l.alive()
}

func wrongTotal(l *life) error {
	m, _ := l.request(inPieces, 0)
	pieces, err := cut(m)
	if err != nil {
		return err
	}
	b := bytes.Join(pieces, nil)
	total := binary.BigEndian.AppendUint64([]byte{tagTotal, 0, 8}, uint64(len(m.Payload)))
	at := bytes.Index(b, total)
	b[at+len(total)-1]++
	return l.refused(&m, b, ipc.CodeBadRequest)
}

func tooLarge(l *life) error {
	m, _ := l.request(maxMessage, 0)
	pieces, err := cut(m)
	if err != nil {
		return err
	}
	return l.refused(&m, bytes.Join(pieces, nil), ipc.CodeTooLarge)
}

// unknownFields: one is skipped, the other refused.
func unknownFields(l *life) error {
	for tag, code := range map[byte]string{tagIgnore: ipc.CodeNoMethod, tagRefuse: ipc.CodeBadRequest} {
		m := l.message(unknown, nil)
		f, err := m.Frame(nil)
		if err != nil {
			return err
		}
		f.Fields = append(f.Fields, tag, 0, 2, 'h', 'i')
		if err := l.refused(&m, f.Append(nil), code); err != nil {
			return fmt.Errorf("a field with the tag %#x: %w", tag, err)
		}
	}
	return nil
}

func flow(l *life) error {
	for _, busy := range []bool{true, false} {
		if err := l.cast(ipc.VerbFlow, ipc.Flow{To: "somebody", Busy: busy}); err != nil {
			return err
		}
		if err := l.alive(); err != nil {
			return err
		}
	}
	return nil
}

// alwaysReads: nobody reads the answers until all calls are written, which are
// more than a pipe holds.
func alwaysReads(l *life) error {
	return l.several(atOnce, 4096, l.flushed)
}

func stop(l *life) error {
	if err := l.cast(ipc.VerbStop, ipc.Stop{Reason: "shutdown", GraceMS: l.o.Patience.Milliseconds()}); err != nil {
		return err
	}
	return l.endsWell()
}

func (l *life) endsWell() error {
	state, err := l.ended()
	if err == nil && state.ExitCode() != 0 {
		err = fmt.Errorf("it ended with %s", state)
	}
	return err
}

// stopSignal: TERM is the order, too. Who does nothing about it dies of it.
func stopSignal(l *life) error {
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	state, err := l.ended()
	if err != nil {
		return err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
		return nil
	}
	if state.ExitCode() != 0 {
		return fmt.Errorf("it ended with %s", state)
	}
	return nil
}

// endOfPipe is an order to end. A frame that the end cuts off is no fault.
func endOfPipe(l *life) error {
	if l.lines == nil {
		m := l.message(unknown, nil)
		f, err := m.Frame(nil)
		if err != nil {
			return err
		}
		b := f.Append(nil)
		l.put(b[:len(b)/2])
	}
	l.hangUp()
	return l.endsWell()
}

func malformed(l *life) error {
	l.put(bytes.Repeat([]byte{0xff}, ipc.HeaderSize))
	state, err := l.ended()
	if err != nil {
		return err
	}
	if state.ExitCode() != 1 {
		return fmt.Errorf("it ended with %s, and not with status 1", state)
	}
	if l.stderr.String() == "" {
		return errors.New("it says nothing about it on standard error")
	}
	return nil
}
