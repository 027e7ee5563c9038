package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/supertrees/supervise/ipc"
)

const (
	maxMessage = 1 << 20     // bytes, in the greeting
	window     = 1024        // calls, in the greeting
	readSize   = 64 << 10    // bytes read at a time
	stderrKept = 2 << 10     // bytes of the worker's standard error
	outputWait = time.Second // for what a child of the worker holds open

	// The ids of calls are too large for a float, as those of a node may be.
	firstID = 1<<53 + 1
)

// The addresses of a tree of this worker and a caller.
const (
	workerAddr = ipc.Root + 2
	callerAddr = ipc.Root + 3
)

// answer is a REPLY or an ERROR.
type answer struct {
	payload []byte
	code    string // of an error
}

// life is one process of the worker, with this process as its node. It is for
// one goroutine.
type life struct {
	o      *Options
	cmd    *exec.Cmd
	stderr tail
	exited chan struct{} // closed when it has been reaped

	mu   sync.Mutex // guards cmd, r and late: hurry comes from elsewhere
	r, w *os.File
	late bool
	out  chan order // for the writer, which never makes a check wait

	lines  *ipc.Lines // nil: frames
	rest   []byte     // of a line
	split  ipc.Splitter
	pieces ipc.Assembler
	come   []ipc.Message // read and not looked at
	seen   map[string]bool

	lastID  uint64
	open    map[uint64]bool
	answers map[uint64]answer
	casts   []ipc.Message // that the worker sent to its node
}

// order is for the writer: bytes, or a channel to close when it comes to it.
type order struct {
	bytes []byte
	done  chan struct{}
}

// queued bounds what may wait for the writer, in sends.
const queued = 1 << 12

// start starts the process, with the greeting in its pipe. The channel is not
// where most workers would look for it.
func (l *life) start(versions ...int) error {
	childR, toChild, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	defer childR.Close()
	fromChild, childW, err := os.Pipe()
	if err != nil {
		toChild.Close()
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	defer childW.Close()
	l.mu.Lock()
	l.r, l.w = fromChild, toChild
	l.mu.Unlock()
	if l.o.Lines {
		l.lines = &ipc.Lines{Limit: maxMessage}
	}
	l.out, l.exited = make(chan order, queued), make(chan struct{})
	go write(l.w, l.out)
	if err := l.greet(versions); err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	cmd := exec.Command(l.o.Command[0], l.o.Command[1:]...)
	cmd.ExtraFiles = []*os.File{nil, nil, childR, childW}
	cmd.Env = append(os.Environ(), "SUPERVISE_CHANNEL=5,6", "SUPERVISE_PATH=/worker", "SUPERVISE_INCARNATION=1")
	cmd.Stderr, cmd.WaitDelay = &l.stderr, outputWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(l.exited)
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cmd = cmd
	return nil
}

func (l *life) greet(versions []int) error {
	return l.cast(ipc.VerbHello, ipc.Hello{
		Protocol: versions, Path: "/worker", Addr: workerAddr, Incarnation: 1,
		Window: window, MaxMessage: maxMessage, Shutdown: ipc.Duration(l.o.Patience),
	})
}

// end leaves nothing of the process.
func (l *life) end() {
	if l.cmd != nil {
		syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
		<-l.exited
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r != nil {
		l.r.Close()
	}
	l.hangUp()
	l.r = nil
}

// hangUp closes the pipe to the worker, when all is written.
func (l *life) hangUp() {
	if l.out != nil {
		close(l.out)
		l.out = nil
	}
}

// hurry ends every wait.
func (l *life) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = true
	if l.r != nil {
		_ = l.r.SetReadDeadline(time.Now())
	}
	if l.cmd != nil {
		syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL) // a write ends with it, too
	}
}

// write writes what is sent; that the reader is gone shows in what it answers.
func write(w *os.File, orders <-chan order) {
	defer w.Close()
	for o := range orders {
		if o.done != nil {
			close(o.done)
		}
		_, _ = w.Write(o.bytes)
	}
}

// put sends bytes as they are.
func (l *life) put(b []byte) { l.out <- order{bytes: b} }

// flushed waits until everything is written, and reads nothing meanwhile.
func (l *life) flushed() error {
	done := make(chan struct{})
	l.out <- order{done: done}
	<-done
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late {
		return errors.New("it does not read on")
	}
	return nil
}

// send sends a message as a node would, in the worker's mode.
func (l *life) send(m ipc.Message) error {
	var b []byte
	err := m.Frames(nil, func(f *ipc.Frame) (err error) {
		if l.lines == nil {
			b = f.Append(b)
			return nil
		}
		one := *f
		line, _, err := l.lines.Out(&one)
		b = append(b, line...)
		return err
	})
	if err == nil {
		l.put(b)
	}
	return err
}

// cast casts as the node itself.
func (l *life) cast(method string, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: method, Payload: payload})
}

// message is a call from another life.
func (l *life) message(method string, payload []byte) ipc.Message {
	l.lastID++
	m := ipc.Message{Type: ipc.Call, ID: firstID + l.lastID, Dst: workerAddr, Src: callerAddr, Method: method, Payload: payload}
	if len(payload) > 0 {
		m.Codec = ipc.CodecJSON
	}
	return m
}

// call sends a call, and returns its id.
func (l *life) call(m ipc.Message) (id uint64, err error) {
	l.open[m.ID] = true
	return m.ID, l.send(m)
}

// ask calls, and waits for the answer.
func (l *life) ask(method, payload string) (answer, error) {
	id, err := l.call(l.message(method, []byte(payload)))
	if err != nil {
		return answer{}, err
	}
	return l.answer(id)
}

func (l *life) answer(id uint64) (answer, error) {
	for {
		if a, ok := l.answers[id]; ok {
			return a, nil
		}
		if err := l.handle(); err != nil {
			return answer{}, fmt.Errorf("waiting for an answer: %w", err)
		}
	}
}

// said waits until the worker has cast one of some methods to its node.
func (l *life) said(methods ...string) (ipc.Message, error) {
	for {
		for _, m := range l.casts {
			if slices.Contains(methods, m.Method) {
				return m, nil
			}
		}
		if err := l.handle(); err != nil {
			return ipc.Message{}, fmt.Errorf("waiting for %s: %w", strings.Join(methods, " or "), err)
		}
	}
}

// ended waits until the process has ended of itself, and reads what it says
// meanwhile.
func (l *life) ended() (*os.ProcessState, error) {
	for {
		err := l.handle()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("waiting for its end: %w", err)
		}
	}
	<-l.exited
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late {
		return nil, errors.New("it has closed its channel, but has not ended")
	}
	return l.cmd.ProcessState, nil
}

// handle takes the next message. Calls of the worker get what a tree without
// others would answer.
func (l *life) handle() error {
	m, err := l.next()
	if err != nil {
		return err
	}
	switch m.Type {
	case ipc.Call:
		return l.serve(&m)
	case ipc.Cast:
		l.casts = append(l.casts, m)
	case ipc.Reply, ipc.Error:
		if !l.open[m.ID] {
			return fmt.Errorf("an answer with the id %d, which no call waits for", m.ID)
		}
		delete(l.open, m.ID)
		a := answer{payload: m.Payload}
		if m.Type == ipc.Error {
			var e ipc.ErrorBody
			if json.Unmarshal(m.Payload, &e) != nil || e.Code == "" {
				return fmt.Errorf("an error whose payload is %.100q", m.Payload)
			}
			a.code = e.Code
		}
		l.answers[m.ID] = a
	}
	return nil
}

func (l *life) serve(m *ipc.Message) error {
	reply := ipc.Message{Type: ipc.Reply, ID: m.ID, Src: ipc.Root}
	switch m.Method {
	case ipc.VerbRegister, ipc.VerbUnregister, ipc.VerbJoin, ipc.VerbLeave:
	default:
		reply.Type, reply.Codec = ipc.Error, ipc.CodecJSON
		reply.Payload = []byte(`{"code":"noproc","message":"noproc"}`)
	}
	return l.send(reply)
}

// next is the next message that the worker sent, whole.
func (l *life) next() (ipc.Message, error) {
	buf := make([]byte, readSize)
	for len(l.come) == 0 {
		n, err := l.r.Read(buf)
		if n > 0 {
			if err := l.feed(buf[:n]); err != nil {
				return ipc.Message{}, err
			}
			continue
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ipc.Message{}, errors.New("nothing came")
		case err != nil:
			return ipc.Message{}, fmt.Errorf("it has closed its channel: %w", err)
		}
	}
	m := l.come[0]
	l.come = l.come[1:]
	return m, nil
}

func (l *life) feed(b []byte) error {
	if l.lines == nil {
		return l.split.Feed(b, l.take)
	}
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.rest = append(l.rest, b...)
			return nil
		}
		line := append(l.rest, b[:i+1]...)
		l.rest, b = nil, b[i+1:]
		if err := l.once(line); err != nil {
			return err
		}
		if err := l.lines.Feed(line, l.take); err != nil {
			return err
		}
	}
}

// once sees that no call is answered twice. Lines forget an id that has been.
func (l *life) once(line []byte) error {
	var o struct{ ID, Method json.RawMessage }
	if json.Unmarshal(line, &o) != nil || o.Method != nil || o.ID == nil {
		return nil
	}
	if l.seen[string(o.ID)] {
		return fmt.Errorf("a second answer with the id %s", o.ID)
	}
	l.seen[string(o.ID)] = true
	return nil
}

func (l *life) take(f *ipc.Frame) error {
	m, whole, err := l.pieces.Add(f)
	if whole {
		m.Payload = bytes.Clone(m.Payload)
		l.come = append(l.come, m)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if extra := len(t.b) - stderrKept; extra > 0 {
		t.b = slices.Delete(t.b, 0, extra)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(t.b)), "?")
}
