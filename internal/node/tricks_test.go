package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/ipc"
)

// What else a puppet does where a test wants it: faults of workers, and the
// loops that watch what others see of them.

// rude plays those who do something before they have greeted, and goes on
// without end. False: the role is none of them.
func (p *puppet) rude(role string) bool {
	switch role {
	case "deaf from birth":
	case "ghost":
		signal.Ignore(syscall.SIGTERM)
		for { // no faster than it is read: calls to the same one have to pass
			p.send(&ipc.Message{Type: ipc.Cast, To: "/a", Method: "note", Codec: ipc.CodecRaw, Payload: []byte("1")})
			time.Sleep(100 * time.Microsecond)
		}
	case "floods first": // well-formed, but no greeting
		p.flood(&order{To: "/nobody"}, nil)
	default:
		return false
	}
	return true
}

// fated plays those whose end comes while they start, in some of their lives
// after the first, with the name "fated" or on the way to it.
func (p *puppet) fated(role string) (status int, ends bool) {
	var last uint64
	life := p.hello.Incarnation
	ask := func() chan ipc.Message {
		return p.call(&ipc.Message{Dst: ipc.Root, Method: ipc.VerbRegister, Codec: ipc.CodecJSON, Payload: jsonOf(ipc.Name{Name: "fated"})})
	}
	switch {
	case life == 1:
	case role == "registers and fails":
		if m := p.await(ask()); m.Type == ipc.Reply {
			p.cast(ipc.VerbFailed, ipc.Failed{Reason: "it registered"})
		}
		return 1, true
	case scan(role, "registers and is killed until %d", &last) && life < last:
		ask()
		kill()
	case scan(role, "registers and is killed until %d", &last):
		if m := p.await(ask()); m.Type != ipc.Reply {
			p.cast(ipc.VerbFailed, ipc.Failed{Reason: "name: " + string(m.Payload)})
			return 1, true
		}
	}
	return 0, false
}

func scan(role, format string, n *uint64) bool {
	got, err := fmt.Sscanf(role, format, n)
	return got == 1 && err == nil
}

// kill ends this process as an operator's KILL does.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	block()
}

// trick does what a test wants; false: it is no trick.
func (p *puppet) trick(m *ipc.Message, o *order) bool {
	id := m.ID
	switch m.Method {
	case "incarnation":
		p.reply(id, p.hello.Incarnation)
	case "address":
		p.reply(id, p.hello.Addr)
	case "sources":
		p.mu.Lock()
		defer p.mu.Unlock()
		go p.reply(id, p.from)
		p.from = map[ipc.Addr]int{}
	case "cancels":
		p.mu.Lock()
		n := p.cancels
		p.mu.Unlock()
		p.reply(id, n)
	case "enough":
		p.enough.Store(true)
		go func() { p.reply(id, <-p.result) }()
	case "answer twice":
		for range 2 {
			p.send(&ipc.Message{Type: ipc.Reply, ID: id, Codec: m.Codec, Payload: m.Payload})
		}
	case "release": // the answers to all calls that are held
		p.mu.Lock()
		held := p.held
		p.held = nil
		p.mu.Unlock()
		for _, c := range held {
			p.send(&ipc.Message{Type: ipc.Reply, ID: c.ID, Codec: c.Codec, Payload: c.Payload})
		}
		p.reply(id, len(held))
	case "trail":
		p.mu.Lock()
		defer p.mu.Unlock()
		go p.reply(id, string(p.trail))
		p.trail = nil
	case "answer and note":
		p.send(&ipc.Message{Type: ipc.Reply, ID: id, Codec: m.Codec, Payload: m.Payload})
		p.send(&ipc.Message{Type: ipc.Cast, Dst: m.Src, Method: "note", Codec: ipc.CodecRaw, Payload: []byte("1")})
	case "weigh":
		p.mu.Lock()
		p.heavy[fmt.Sprint(len(m.Payload))]++
		p.mu.Unlock()
		p.reply(id, len(m.Payload))
	case "weighed":
		p.mu.Lock()
		defer p.mu.Unlock()
		go p.reply(id, maps.Clone(p.heavy))
	case "pipes":
		p.reply(id, pipes())
	default:
		return p.deed(m, o)
	}
	return true
}

// deed does what takes a while, beside the reading, or what ends the puppet.
func (p *puppet) deed(m *ipc.Message, o *order) bool {
	id := m.ID
	switch m.Method {
	case "half a frame":
		_, _ = p.w.Write([]byte{0, 0, 0, 60, 3, 1, 0})
		kill()
	case "note and exit":
		for range notesOfTheDying {
			p.send(&ipc.Message{Type: ipc.Cast, Dst: m.Src, Method: "note", Codec: ipc.CodecRaw, Payload: []byte("1")})
		}
		os.Exit(0)
	case "haunt": // with a descendant that writes on the channel, and does not hear TERM
		p.reply(id, haunt())
	case "break off": // a call in pieces, whose sender dies among them
		p.pieces(o, 0, max(3, o.Size/ipc.MaxPayload-1))
		kill()
	case "lie": // about the size of a call in pieces
		go func() { p.reply(id, outcome(<-p.pieces(o, uint64(o.Size), 99))) }()
	case "last words":
		go func() { p.reply(id, p.lastWords(o)) }()
	case "duel":
		go func() { p.reply(id, p.duel(o)) }()
	case "note on three ways":
		go func() { p.reply(id, p.threeWays(o)) }()
	case "bombard", "churn", "flood", "heave", "spin": // until it is enough
		work := map[string]func(*order, map[string]int){
			"bombard": p.bombard, "churn": p.churn, "flood": p.flood, "heave": p.heave, "spin": p.spin,
		}[m.Method]
		go func() {
			seen := map[string]int{}
			work(o, seen)
			p.result <- seen
		}()
		p.reply(id, true)
	case "pour":
		go func() { p.reply(id, p.pour(o)) }()
	case "clock":
		go func() { p.reply(id, p.clock(o)) }()
	case "attack":
		go func() { p.reply(id, p.attack(o)) }()
	default:
		return false
	}
	return true
}

// address makes a target of a text: a name, a path or an address.
func address(m *ipc.Message, to string) {
	if m.To = to; strings.HasPrefix(to, "@") {
		m.To = ""
		_ = m.Dst.UnmarshalText([]byte(to))
	}
}

// notesOfTheDying is how many notes one that is told to exit sends before.
const notesOfTheDying = 50

// haunt makes a process that has this one's channel.
func haunt() bool {
	exe, err := os.Executable()
	if err != nil {
		return false
	}
	r, w := channelOf()
	_, err = syscall.ForkExec(exe, []string{exe}, &syscall.ProcAttr{
		Env:   []string{envRole + "=ghost", fmt.Sprintf("SUPERVISE_CHANNEL=%d,%d", r, w), "GORACE=atexit_sleep_ms=0"},
		Files: []uintptr{0, 1, 2, uintptr(r), uintptr(w)},
	})
	return err == nil && r == 3 && w == 4
}

// pieces sends the first few pieces of a call of 256 KiB, or so many bytes, that
// says that it has total bytes; 0: as many as it has.
func (p *puppet) pieces(o *order, total uint64, most int) chan ipc.Message {
	size := 4 * ipc.MaxPayload
	if total == 0 {
		size = max(size, o.Size)
	}
	m := &ipc.Message{Type: ipc.Call, Method: "echo", Codec: ipc.CodecRaw, Payload: make([]byte, size)}
	address(m, o.To)
	answers := make(chan ipc.Message, 4)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id++
	m.ID = p.id
	p.open[m.ID] = answers
	var wire []byte
	_ = m.Frames(nil, func(f *ipc.Frame) error {
		if most--; most < 0 {
			return nil
		}
		if total != 0 && len(f.Fields) > 0 {
			fields, _ := ipc.ParseFields(f.Fields)
			fields.Total = total
			f.Fields = fields.Append(nil)
		}
		wire = f.Append(wire)
		return nil
	})
	_, _ = p.w.Write(wire)
	return answers
}

// lastWords sees N lives of another to their end: each is monitored and told to
// answer and exit. It counts in what order the two came. Both go to the life's
// address, so that neither can come to its successor.
func (p *puppet) lastWords(o *order) map[string]int {
	seen := map[string]int{}
	var last ipc.Addr
	for done := 0; done < o.N; {
		var at ipc.Place
		m := <-p.call(&ipc.Message{To: o.To, Method: ipc.VerbWhereIs, About: true})
		if m.Type != ipc.Reply || json.Unmarshal(m.Payload, &at) != nil || at.Addr == last {
			continue // between two lives, or the one that is about to end
		}
		last = at.Addr
		both := make(chan ipc.Message, 4)
		monitor := p.callTo(both, &ipc.Message{Dst: at.Addr, Method: ipc.VerbMonitor, About: true})
		p.callTo(both, &ipc.Message{Dst: at.Addr, Method: o.Method})
		first, second := <-both, <-both
		what := func(m ipc.Message) string {
			if m.ID == monitor && m.Type == ipc.Reply {
				return "its end"
			}
			return outcome(m)
		}
		seen[what(first)+", "+what(second)]++
		p.forget([]chan ipc.Message{both}, seen)
		done++
	}
	return seen
}

// callTo is call with the answer for a channel that has others, too.
func (p *puppet) callTo(answers chan ipc.Message, m *ipc.Message) uint64 {
	p.mu.Lock()
	p.id++
	m.Type, m.ID = ipc.Call, p.id
	p.open[m.ID] = answers
	p.mu.Unlock()
	p.send(m)
	return m.ID
}

// bombard calls a name without end, N calls at once, and counts the outcomes.
// Its target says which life it is, and no life may answer after a later one.
func (p *puppet) bombard(o *order, seen map[string]int) {
	var last uint64
	for !p.enough.Load() {
		calls := make([]chan ipc.Message, o.N)
		for i := range calls {
			calls[i] = p.call(&ipc.Message{To: o.To, Method: "incarnation"})
		}
		for _, c := range calls {
			m := <-c
			seen[outcome(m)]++
			var n uint64
			if m.Type == ipc.Reply && json.Unmarshal(m.Payload, &n) == nil && n < last {
				seen["an earlier life"]++
			}
			last = max(last, n)
		}
		p.forget(calls, seen)
	}
}

// forget counts the calls that were answered twice, and drops all.
func (p *puppet) forget(calls []chan ipc.Message, seen map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.open)
	for _, c := range calls {
		if len(c) > 0 {
			seen["doubled"]++
		}
	}
}

// duel makes N calls and takes every second one back at once. One that was not
// taken back has one answer, its own; the others at most one.
func (p *puppet) duel(o *order) map[string]int {
	seen := map[string]int{}
	calls := make([]chan ipc.Message, o.N)
	own := func(i int) []byte { return fmt.Appendf(nil, "%-*d", o.Size, i) }
	for start := 0; start < o.N; start += ipc.Window / 2 {
		end := min(start+ipc.Window/2, o.N)
		for i := start; i < end; i++ {
			m := &ipc.Message{To: o.To, Method: o.Reason, Codec: ipc.CodecRaw, Payload: own(i)}
			calls[i] = p.call(m)
			if i%2 == 1 {
				p.send(&ipc.Message{Type: ipc.Cancel, ID: m.ID})
			}
		}
		for i := start; i < end; i += 2 {
			if m := <-calls[i]; m.Type == ipc.Reply && bytes.Equal(m.Payload, own(i)) {
				seen["own"]++
			} else {
				seen["another's: "+outcome(m)]++
			}
		}
	}
	for i, c := range calls {
		if len(c) > i%2 {
			seen["doubled"]++
		}
	}
	return seen
}

// threeWays sends N notes to one target, by each of its names in turn. Reason
// has them, between spaces.
func (p *puppet) threeWays(o *order) int {
	ways := strings.Fields(o.Reason)
	for i := range o.N {
		m := ipc.Message{Type: ipc.Cast, Method: "note", Codec: ipc.CodecRaw, Payload: fmt.Append(nil, i)}
		address(&m, ways[i%len(ways)])
		p.send(&m)
	}
	return o.N
}

func (p *puppet) churn(o *order, _ map[string]int) {
	for i := 0; !p.enough.Load(); i++ {
		method := ipc.VerbRegister
		if i%2 == 1 {
			method = ipc.VerbUnregister
		}
		<-p.call(&ipc.Message{Dst: ipc.Root, Method: method, Codec: ipc.CodecJSON, Payload: jsonOf(ipc.Name{Name: o.To})})
	}
}

// heave calls with large messages until it is enough, and counts the outcomes.
func (p *puppet) heave(o *order, seen map[string]int) {
	payload := make([]byte, o.Size)
	for !p.enough.Load() {
		seen[outcome(<-p.call(&ipc.Message{To: o.To, Method: "weigh", Codec: ipc.CodecRaw, Payload: payload}))]++
	}
}

// spin uses a core, and says nothing.
func (p *puppet) spin(*order, map[string]int) {
	for !p.enough.Load() {
	}
}

// flood writes casts as fast as they are taken, until it is enough.
func (p *puppet) flood(o *order, _ map[string]int) {
	m := ipc.Message{Type: ipc.Cast, To: o.To, Method: "x", Codec: ipc.CodecRaw, Payload: make([]byte, o.Size)}
	var one []byte
	_ = m.Frames(nil, func(f *ipc.Frame) error { one = f.Append(nil); return nil })
	wire := bytes.Repeat(one, 1+65536/len(one))
	for !p.enough.Load() {
		p.mu.Lock()
		_, err := p.w.Write(wire)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// pour writes N notes, numbered in JSON, as fast as they are taken.
func (p *puppet) pour(o *order) int {
	var wire []byte
	for i := range o.N {
		m := ipc.Message{Type: ipc.Cast, To: o.To, Method: "note", Codec: ipc.CodecJSON, Payload: fmt.Appendf(nil, "%-*d", o.Size, i)}
		_ = m.Frames(nil, func(f *ipc.Frame) error { wire = f.Append(wire); return nil })
		if len(wire) < 65536 && i < o.N-1 {
			continue
		}
		p.mu.Lock()
		_, err := p.w.Write(wire)
		p.mu.Unlock()
		if err != nil {
			return i
		}
		wire = wire[:0]
	}
	return o.N
}

// unread is how many bytes are in a pipe that another process has.
func unread(t *testing.T, pid, fd int) int {
	t.Helper()
	f, err := unix.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(f)
	n, err := unix.IoctlGetInt(f, unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// peak is the most memory that a process has taken, in bytes.
func peak(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	kb := 0
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &kb)
	}
	return kb << 10
}

// pipes is the pipes that this process has, as the kernel names them.
func pipes() []string {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	var all []string
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, "pipe:") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// narrow makes a pipe of another process as small as a pipe can be.
func narrow(pid, fd int) error {
	f, err := unix.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(f)
	_, err = unix.FcntlInt(uintptr(f), unix.F_SETPIPE_SZ, 4096)
	return err
}

// clock makes N calls, one after another, and says how long the median took; -1
// if one had no reply.
func (p *puppet) clock(o *order) time.Duration {
	took := make([]time.Duration, o.N)
	for i := range took {
		start := time.Now()
		if outcome(<-p.call(&ipc.Message{To: o.To, Method: "echo", Codec: ipc.CodecRaw, Payload: make([]byte, o.Size)})) != "ok" {
			return -1
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}
