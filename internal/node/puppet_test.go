package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// puppet is a worker that does over its channel what the tests tell it to. It
// speaks the wire by itself, so that the node is tested against the protocol
// and not against a client that is written beside it.
type puppet struct {
	r     *ipc.Reader
	hello ipc.Hello

	mu    sync.Mutex
	w     io.Writer
	id    uint64
	open  map[uint64]chan ipc.Message
	held  []ipc.Message // calls to answer when it is told to
	notes []int
	trail []byte           // what came, in order: r for an answer, n for a note
	from  map[ipc.Addr]int // how many notes of each sender
	heavy map[string]int   // how many messages that it was to weigh, by their size

	cancels int
	enough  atomic.Bool         // what goes on without end, ends
	result  chan map[string]int // and this is what it saw
}

// play is the life of a worker process of the tests.
func play(role string) int {
	if init := initOf(role); init != nil {
		proc.Main(init)
	}
	p := &puppet{open: map[uint64]chan ipc.Message{}, from: map[ipc.Addr]int{}, heavy: map[string]int{}, result: make(chan map[string]int, 1)}
	r, w := channelOf()
	if r == 0 {
		fmt.Fprintln(os.Stderr, "no channel")
		return 64
	}
	in, out := os.NewFile(uintptr(r), "in"), os.NewFile(uintptr(w), "out")
	p.r, p.w = ipc.NewReader(in), out
	switch role {
	case "garbage":
		out.WriteString("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n and more of what nobody understands, and more")
		block()
	case "half": // half a frame, and its end
		out.Write(make([]byte, 3))
		return 0
	}
	if p.rude(role) {
		block()
	}
	if err := p.greet(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 65
	}
	if status, ends := p.fated(role); ends {
		return status
	}
	switch role {
	case "ignores":
		p.cast(ipc.VerbIgnore, nil)
		return 0
	case "fails":
		p.cast(ipc.VerbFailed, ipc.Failed{Reason: "no database"})
		return 1
	case "closes":
		p.cast(ipc.VerbReady, nil)
		out.Close()
		block()
	}
	if name, ok := strings.CutPrefix(role, "named "); ok {
		if m := p.await(p.call(&ipc.Message{Dst: ipc.Root, Method: ipc.VerbRegister, Codec: ipc.CodecJSON, Payload: jsonOf(ipc.Name{Name: name})})); m.Type != ipc.Reply {
			p.cast(ipc.VerbFailed, ipc.Failed{Reason: "name: " + string(m.Payload)})
			return 1
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; os.Exit(0) }()
	p.cast(ipc.VerbReady, nil)
	return p.serve()
}

// block waits for ever. Go takes an empty select for a deadlock where nothing else is
// going on and no C is linked.
func block() {
	for {
		time.Sleep(time.Hour)
	}
}

// channelOf is the descriptors of the channel. Package proc, which this binary
// links, takes the variable out of the environment, so that it is read where it
// was at the start.
func channelOf() (r, w int) {
	environ, _ := os.ReadFile("/proc/self/environ")
	for _, kv := range strings.Split(string(environ), "\x00") {
		_, _ = fmt.Sscanf(kv, "SUPERVISE_CHANNEL=%d,%d", &r, &w)
	}
	return r, w
}

// greet reads the hello and answers it.
func (p *puppet) greet() error {
	f, err := p.r.Read()
	if err != nil {
		return err
	}
	m, err := f.Message()
	if err != nil {
		return err
	}
	if m.Method != ipc.VerbHello {
		return fmt.Errorf("the first frame is %q", m.Method)
	}
	if err := json.Unmarshal(m.Payload, &p.hello); err != nil {
		return err
	}
	p.cast(ipc.VerbHello, ipc.Welcome{Protocol: 1, Pid: os.Getpid(), Methods: []string{"echo"}})
	return nil
}

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (p *puppet) send(m *ipc.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b []byte
	_ = m.Frames(nil, func(f *ipc.Frame) error { b = f.Append(b); return nil })
	if _, err := p.w.Write(b); err != nil {
		os.Exit(66)
	}
}

func (p *puppet) cast(method string, v any) {
	m := ipc.Message{Type: ipc.Cast, Method: method}
	if v != nil {
		m.Codec, m.Payload = ipc.CodecJSON, jsonOf(v)
	}
	p.send(&m)
}

// call sends a call; its answer comes over the channel.
func (p *puppet) call(m *ipc.Message) chan ipc.Message {
	answers := make(chan ipc.Message, 4) // room to notice a second answer
	p.mu.Lock()
	p.id++
	m.Type, m.ID = ipc.Call, p.id
	p.open[m.ID] = answers
	p.mu.Unlock()
	p.send(m)
	return answers
}

// await reads until that answer is there, before serve runs.
func (p *puppet) await(answers chan ipc.Message) ipc.Message {
	for {
		f, err := p.r.Read()
		if err != nil {
			os.Exit(67)
		}
		m, _ := f.Message()
		p.take(m)
		select {
		case m := <-answers:
			return m
		default:
		}
	}
}

func (p *puppet) reply(id uint64, v any) {
	p.send(&ipc.Message{Type: ipc.Reply, ID: id, Codec: ipc.CodecJSON, Payload: jsonOf(v)})
}

func (p *puppet) serve() int {
	pieces := ipc.Assembler{Limit: ipc.MaxMessage}
	for {
		f, err := p.r.Read()
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err != nil {
			return 68
		}
		m, done, err := pieces.Add(&f)
		if err != nil {
			return 69
		}
		if done {
			m.Payload = bytes.Clone(m.Payload)
			p.take(m)
		}
	}
}

func (p *puppet) take(m ipc.Message) {
	switch m.Type {
	case ipc.Reply, ipc.Error:
		p.mu.Lock()
		answers := p.open[m.ID]
		if answers != nil {
			p.trail = append(p.trail, 'r')
		}
		p.mu.Unlock()
		if answers != nil {
			answers <- m
		}
	case ipc.Call:
		if m.Refused != "" {
			p.refuse(m.ID, m.Refused)
			return
		}
		p.handle(&m)
	case ipc.Cast:
		p.heard(&m)
	case ipc.Cancel:
		p.mu.Lock()
		p.cancels++
		p.mu.Unlock()
	}
}

// heard takes a cast.
func (p *puppet) heard(m *ipc.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "note":
		n, err := strconv.Atoi(string(bytes.TrimSpace(m.Payload)))
		if err != nil {
			n = -1 // out of order, whatever it was
		}
		p.notes = append(p.notes, n)
		p.trail = append(p.trail, 'n')
		p.from[m.Src]++
	case ipc.VerbStop:
		var s ipc.Stop
		if json.Unmarshal(m.Payload, &s) == nil && s.Reason != "" {
			os.Exit(0)
		}
	}
}

// order is what a puppet is told to do.
type order struct {
	To      string `json:"to,omitempty"`
	Method  string `json:"method,omitempty"`
	N       int    `json:"n,omitempty"`
	From    int    `json:"from,omitempty"`
	Size    int    `json:"size,omitempty"`
	Reason  string `json:"reason,omitempty"`
	About   bool   `json:"about,omitempty"`
	Payload any    `json:"payload,omitempty"`
}

// handle answers a call.
func (p *puppet) handle(m *ipc.Message) {
	var o order
	if m.Method != "echo" {
		_ = json.Unmarshal(m.Payload, &o)
	}
	switch m.Method {
	case "echo":
		p.send(&ipc.Message{Type: ipc.Reply, ID: m.ID, Codec: m.Codec, Payload: m.Payload})
	case "hello":
		p.reply(m.ID, p.hello)
	case "hold":
		p.mu.Lock()
		p.held = append(p.held, *m)
		p.mu.Unlock()
	case "held":
		p.mu.Lock()
		n := len(p.held)
		p.mu.Unlock()
		p.reply(m.ID, n)
	case "notes":
		p.mu.Lock()
		notes := p.notes
		p.mu.Unlock()
		p.reply(m.ID, notes)
	case "forward": // make N calls at once and count their outcomes
		go p.forward(m.ID, &o)
	case "one": // make one call and pass on its outcome, whole
		go func() {
			call := ipc.Message{Method: o.Method, About: o.About, Codec: ipc.CodecJSON, Payload: jsonOf(o.Payload)}
			address(&call, o.To)
			answer := <-p.call(&call)
			p.send(&ipc.Message{Type: answer.Type, ID: m.ID, Codec: answer.Codec, Payload: answer.Payload})
		}()
	case "notify": // N casts, numbered
		go func() {
			for i := range o.N {
				p.send(&ipc.Message{Type: ipc.Cast, To: o.To, Method: o.Method, Codec: ipc.CodecRaw, Payload: fmt.Appendf(nil, "%-*d", o.Size, o.From+i)})
			}
			p.reply(m.ID, o.N)
		}()
	case "say":
		p.cast(o.Method, o.Payload)
		p.reply(m.ID, true)
	default:
		p.misbehave(m, &o)
	}
}

// misbehave does what a good worker would not, or ends.
func (p *puppet) misbehave(m *ipc.Message, o *order) {
	switch m.Method {
	case "deafen": // never reads again
		p.reply(m.ID, true)
		block()
	case "spawn": // a descendant that keeps the channel open
		_, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2, 3, 4}})
		p.reply(m.ID, err == nil)
	case "scribble":
		p.mu.Lock()
		_, _ = p.w.Write(bytes.Repeat([]byte{0xff}, 100))
		block()
	case "exit":
		if o.Reason != "" {
			p.cast(ipc.VerbExiting, ipc.Exiting{Reason: o.Reason, Detail: "as told"})
		}
		os.Exit(o.N)
	case "answer and exit":
		p.reply(m.ID, "the last word")
		os.Exit(0)
	default:
		if !p.trick(m, o) {
			p.refuse(m.ID, ipc.CodeNoMethod)
		}
	}
}

func (p *puppet) refuse(id uint64, code string) {
	p.send(&ipc.Message{Type: ipc.Error, ID: id, Codec: ipc.CodecJSON, Payload: jsonOf(ipc.ErrorBody{Code: code})})
}

// forward makes N calls at once, whose payloads are all unlike, and counts their
// outcomes. Who answers sends the payload back.
func (p *puppet) forward(id uint64, o *order) {
	calls := make([]chan ipc.Message, o.N)
	own := func(i int) []byte { return fmt.Appendf(nil, "%-*s", o.Size, fmt.Sprint(p.hello.Addr, " ", i)) }
	for i := range calls {
		m := &ipc.Message{Method: o.Method, About: o.About, Codec: ipc.CodecRaw, Payload: own(i)}
		address(m, o.To)
		calls[i] = p.call(m)
	}
	outcomes := map[string]int{}
	for i, c := range calls {
		m := <-c
		what := outcome(m)
		if what == "ok" && !o.About && !bytes.Equal(m.Payload, own(i)) {
			what = "another's"
		}
		outcomes[what]++
	}
	for _, c := range calls {
		if len(c) > 0 {
			outcomes["doubled"]++
		}
	}
	p.reply(id, outcomes)
}

// outcome is "ok" or the code of an error.
func outcome(m ipc.Message) string {
	if m.Type == ipc.Reply {
		return "ok"
	}
	var body ipc.ErrorBody
	_ = json.Unmarshal(m.Payload, &body)
	return body.Code
}
