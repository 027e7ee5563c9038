package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// These tests speak to real processes: this test binary, playing a worker.

const roleVariable = "PROC_TEST_ROLE"

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(roleVariable); ok {
		roles[role]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var errBroken = errors.New("broken")

var roles = map[string]func(){
	"echo": func() {
		proc.Main(func(s *proc.Server) error {
			Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
			Die.Handle(s, func(_ context.Context, how string) error {
				switch how {
				case "normal":
					s.Stop(nil)
				case "broken":
					s.Stop(errBroken)
				case "panic":
					panic("boom")
				}
				return nil
			})
			Never.Handle(s, func(context.Context, proc.None) (string, error) {
				s.Stop(nil)
				return "stopped", nil
			})
			s.OnTerminate(func(_ context.Context, r proc.Reason) error {
				fmt.Println("terminate", r)
				return nil
			})
			return nil
		})
	},
	"drops": func() {
		proc.Main(func(s *proc.Server) error {
			s.DropExpired()
			Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
			return nil
		})
	},
	"sleeper":      sleeper(-1),
	"own sleeper":  sleeper(time.Millisecond),
	"deep sleeper": sleeper(0),
	"ignore":       func() { proc.Main(func(*proc.Server) error { return proc.ErrIgnore }) },
	"fail":         func() { proc.Main(func(*proc.Server) error { return errBroken }) },
	"attach": func() {
		s, err := proc.Attach(func(s *proc.Server) error {
			Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
			return nil
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if err := proc.Ready(); err != nil {
			fmt.Println(err)
		}
		proc.Status("listening on %d", 8080)
		<-proc.Stopping(context.Background()).Done()
		grace, cancel := proc.Grace()
		defer cancel()
		by, _ := grace.Deadline()
		fmt.Println("stopping", s.Path(), time.Until(by) > 30*time.Second && time.Until(by) <= 60*time.Second)
	},
	"molt": func() {
		proc.Main(func(s *proc.Server) error {
			var state struct {
				N    int
				From []proc.From[string]
			}
			molted := s.Molted(&state)
			for _, from := range state.From {
				from.Reply(fmt.Sprint("molted ", molted))
			}
			state.From = nil
			Count.Handle(s, func(context.Context, proc.None) (int, error) { state.N++; return state.N, nil })
			Echo.HandleLater(s, func(_ context.Context, file string, from proc.From[string]) error {
				state.From = append(state.From, from)
				argv := []string{file}
				if file == "" {
					argv = nil
				}
				return s.Molt(argv, state)
			})
			return nil
		})
	},
	"environment": func() {
		out, err := exec.Command("sh", "-c", "echo [$SUPERVISE_CHANNEL]; ls /proc/self/fd").CombinedOutput()
		fmt.Printf("%s%v\n", out, err)
		proc.Main(func(*proc.Server) error { return nil })
	},
}

// sleeper is a worker with handlers that take as long as they are told; it
// knows itself how long is slow, unless slow is negative.
func sleeper(slow time.Duration) func() {
	return func() {
		proc.Main(func(s *proc.Server) error {
			if slow >= 0 {
				s.SlowAfter(slow)
			}
			Sleep.Handle(s, func(_ context.Context, d time.Duration) (string, error) { time.Sleep(d); return "slept", nil })
			return nil
		})
	}
}

// process is a worker and the node's end of its channel.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	conn   *ipc.Conn
	r, w   *os.File
	out    bytes.Buffer
	errOut bytes.Buffer
}

func spawn(t *testing.T, role string, greet bool) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self)}
	up, childW := pipeOf(t)
	childR, down := pipeOf(t)
	p.r, p.w = up, down
	p.conn = ipc.NewConn(up, down, 0)
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, "SUPERVISE_CHANNEL=3,4", "GORACE=atexit_sleep_ms=0")
	p.cmd.ExtraFiles = []*os.File{childR, childW}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errOut
	if greet {
		p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/w","addr":"@1.2","incarnation":3,"window":1024,"shutdown":3}`)})
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	childR.Close()
	childW.Close()
	timer := time.AfterFunc(2*time.Minute, func() { p.cmd.Process.Kill() }) // a net: no test waits for it
	t.Cleanup(func() { timer.Stop(); p.cmd.Process.Kill(); p.cmd.Wait(); up.Close(); down.Close() })
	return p
}

func pipeOf(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (p *process) send(m ipc.Message) {
	p.t.Helper()
	if err := p.conn.Send(m); err != nil {
		p.t.Fatal(err)
	}
}

// want receives a message of this method, or an answer to this id.
func (p *process) want(what string) ipc.Message {
	p.t.Helper()
	m, err := p.conn.Receive()
	if err != nil {
		p.t.Fatalf("waiting for %s: %v; stderr: %s", what, err, &p.errOut)
	}
	if got := m.Method; got != what && fmt.Sprint(m.ID) != what {
		p.t.Fatalf("got %s %d %s, want %s", got, m.ID, m.Payload, what)
	}
	return m
}

// ended waits for the end of the process and returns its status.
func (p *process) ended() string {
	p.t.Helper()
	if m, err := p.conn.Receive(); err != io.EOF {
		p.t.Errorf("at its end it sent %+v, %v", m, err)
	}
	p.cmd.Wait() // the status is in ProcessState
	return p.cmd.ProcessState.String()
}

func TestAWorkerGreetsServesAndEndsWell(t *testing.T) {
	p := spawn(t, "echo", true)
	if m := p.want(ipc.VerbHello); !bytes.Contains(m.Payload, []byte(`"protocol":1`)) {
		t.Errorf("it greets with %s", m.Payload)
	}
	if m := p.want(ipc.VerbReady); !bytes.Contains(m.Payload, []byte(`"methods":["die","echo","never"]`)) {
		t.Errorf("it is ready with %s", m.Payload)
	}
	p.send(ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: 7, Method: "echo", Payload: []byte(`"hello"`)})
	if m := p.want("7"); string(m.Payload) != `"hello"` || m.Type != ipc.Reply {
		t.Errorf("it answers %+v", m)
	}
	p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: "die", Payload: []byte(`"normal"`)})
	if m := p.want(ipc.VerbExiting); string(m.Payload) != `{"reason":"normal"}` {
		t.Errorf("it leaves with %s", m.Payload)
	}
	if got := p.ended(); got != "exit status 0" || p.out.String() != "terminate normal\n" {
		t.Errorf("%s, %q", got, &p.out)
	}
}

func TestHowAWorkerEndsIsItsStatusAndItsLastWord(t *testing.T) {
	for how, want := range map[string][2]string{
		"broken": {`{"reason":"abnormal","detail":"broken"}`, "exit status 1"},
		"panic":  {`"detail":"panic in die: boom","stack":`, "exit status 1"},
	} {
		p := spawn(t, "echo", true)
		p.want(ipc.VerbHello)
		p.want(ipc.VerbReady)
		p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: "die", Payload: []byte(`"` + how + `"`)})
		if m := p.want(ipc.VerbExiting); !strings.Contains(string(m.Payload), want[0]) {
			t.Errorf("%s: it leaves with %s", how, m.Payload)
		}
		if got := p.ended(); got != want[1] {
			t.Errorf("%s: %s", how, got)
		}
	}
}

func TestAReplyBeforeTheEndIsAlwaysThere(t *testing.T) {
	for range 20 {
		p := spawn(t, "echo", true)
		p.want(ipc.VerbHello)
		p.want(ipc.VerbReady)
		p.send(ipc.Message{Type: ipc.Call, ID: 9, Method: "never"})
		if m := p.want("9"); string(m.Payload) != `"stopped"` {
			t.Errorf("it answers %s", m.Payload)
		}
		p.want(ipc.VerbExiting)
		p.ended()
	}
}

func TestAnOrderBySignalOrByFrameIsOneOrder(t *testing.T) {
	for _, order := range []string{"signal", "frame", "eof"} {
		p := spawn(t, "echo", true)
		p.want(ipc.VerbHello)
		p.want(ipc.VerbReady)
		p.send(ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: 7, Method: "echo", Payload: []byte(`"up"`)})
		p.want("7") // after Init, so that the signal is not the default one
		switch order {
		case "signal":
			p.cmd.Process.Signal(syscall.SIGTERM)
		case "frame":
			p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbStop, Payload: []byte(`{"reason":"shutdown","grace_ms":3000}`)})
		case "eof":
			p.w.Close()
		}
		m, err := p.conn.Receive()
		if order != "eof" && (err != nil || string(m.Payload) != `{"reason":"shutdown"}`) {
			t.Errorf("%s: it leaves with %s, %v", order, m.Payload, err)
		}
		p.cmd.Wait() // the status is in ProcessState
		if got := p.cmd.ProcessState.String(); got != "exit status 0" || !strings.HasPrefix(p.out.String(), "terminate shutdown") {
			t.Errorf("%s: %s, %q", order, got, &p.out)
		}
	}
}

func TestIgnoreAndAFailedStart(t *testing.T) {
	p := spawn(t, "ignore", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbIgnore)
	if got := p.ended(); got != "exit status 0" {
		t.Error(got)
	}
	p = spawn(t, "fail", true)
	p.want(ipc.VerbHello)
	if m := p.want(ipc.VerbFailed); string(m.Payload) != `{"reason":"broken"}` {
		t.Errorf("it failed with %s", m.Payload)
	}
	if got := p.ended(); got != "exit status 1" || !strings.Contains(p.errOut.String(), "broken") {
		t.Errorf("%s, %s", got, &p.errOut)
	}
}

func TestAProgramWithAMainOfItsOwn(t *testing.T) {
	p := spawn(t, "attach", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbReady)
	if m := p.want(ipc.VerbStatus); string(m.Payload) != `{"text":"listening on 8080"}` {
		t.Errorf("its status is %s", m.Payload)
	}
	p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbStop, Payload: []byte(`{"grace_ms":60000}`)})
	for {
		if _, err := p.conn.Receive(); err != nil {
			break
		}
	}
	p.cmd.Wait() // the status is in ProcessState
	if got := p.out.String(); got != "stopping /w true\n" {
		t.Errorf("it said %q", got)
	}
}

func TestAWorkerMoltsAndLosesNothing(t *testing.T) {
	p := spawn(t, "molt", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbReady)
	call := func(id uint64, method string, payload string) {
		t.Helper()
		p.send(ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: id, Method: method, Payload: []byte(payload), Left: time.Minute})
	}
	for n := range 3 {
		call(7, "count", "")
		if m := p.want("7"); string(m.Payload) != fmt.Sprint(2*n+1) {
			t.Errorf("before molt %d it counts %s", n, m.Payload)
		}
		call(8, "echo", `""`)
		molt := p.want(ipc.VerbMolt)
		call(9, "count", "") // waits in the mailbox of the old image
		p.send(ipc.Message{Type: ipc.Reply, ID: molt.ID})
		if m := p.want(ipc.VerbHello); !bytes.Contains(m.Payload, fmt.Appendf(nil, `"pid":%d`, p.cmd.Process.Pid)) {
			t.Errorf("the new image says %s", m.Payload)
		}
		if m := p.want("8"); string(m.Payload) != `"molted true"` {
			t.Errorf("the call that asked for it got %s", m.Payload)
		}
		p.want(ipc.VerbReady)
		if m := p.want("9"); string(m.Payload) != fmt.Sprint(2*n+2) {
			t.Errorf("after molt %d it counts %s", n, m.Payload)
		}
	}

	// It cannot: the old image goes on.
	call(8, "echo", `"/no/such/program"`)
	molt := p.want(ipc.VerbMolt)
	p.send(ipc.Message{Type: ipc.Reply, ID: molt.ID})
	if m := p.want(ipc.VerbMolted); string(m.Payload) != `{"ok":false}` {
		t.Errorf("it says %s", m.Payload)
	}
	if m := p.want("8"); m.Type != ipc.Error || !bytes.Contains(m.Payload, []byte("no such file")) {
		t.Errorf("the call that asked for it got %s", m.Payload)
	}
	call(9, "count", "")
	if m := p.want("9"); string(m.Payload) != "7" {
		t.Errorf("it counts %s", m.Payload)
	}
}

func TestAChildOfAWorkerInheritsNothing(t *testing.T) {
	p := spawn(t, "environment", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbReady)
	p.send(ipc.Message{Type: ipc.Cast, Method: ipc.VerbStop})
	p.want(ipc.VerbExiting)
	p.ended()
	lines := strings.Fields(p.out.String())
	if len(lines) < 4 || lines[0] != "[]" {
		t.Fatalf("it said %q", &p.out)
	}
	for _, fd := range lines[1 : len(lines)-1] {
		if fd == "4" { // 3 is the directory that ls reads
			t.Errorf("a grandchild has the channel: %v", lines)
		}
	}
}

func TestWithoutASupervisor(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "no pipe")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, channel := range []string{"", "SUPERVISE_CHANNEL=7,8", "SUPERVISE_CHANNEL=x", "SUPERVISE_CHANNEL=0,3"} {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), roleVariable+"=echo", "GORACE=atexit_sleep_ms=0")
		if channel != "" {
			cmd.Env = append(cmd.Env, channel)
		}
		cmd.ExtraFiles = []*os.File{f}
		out, _ := cmd.CombinedOutput() // the status is what is asserted
		f.Close()
		if code := cmd.ProcessState.ExitCode(); code != 69 || !bytes.Contains(out, []byte("run it as a child of supervise")) {
			t.Errorf("%q: status %d, %s", channel, code, out)
		}
	}
	if _, err := Echo.Call(t.Context(), Srv, ""); !errors.Is(err, proc.ErrNotSupervised) {
		t.Errorf("a call: %v", err)
	}
	if err := proc.Ready(); !errors.Is(err, proc.ErrNotSupervised) {
		t.Errorf("ready: %v", err)
	}
}

func TestANodeThatSpeaksNothingKnownEndsTheWorker(t *testing.T) {
	p := spawn(t, "echo", false)
	p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[2]}`)})
	if m := p.want(ipc.VerbHello); !bytes.Contains(m.Payload, []byte(`"protocol":0`)) {
		t.Errorf("it greets with %s", m.Payload)
	}
	p.cmd.Wait() // the status is in ProcessState
	if got := p.cmd.ProcessState.String(); got != "exit status 1" || !strings.Contains(p.errOut.String(), "protocols [2]") {
		t.Errorf("%s, %s", got, &p.errOut)
	}
}

// A worker costs less than 2 MB over an empty program, as go build makes both.
func TestTheSizeOfAWorker(t *testing.T) {
	dir := t.TempDir()
	size := func(name, pkg string) int64 {
		t.Helper()
		file := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", file, pkg).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	empty := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(empty, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const most = 2 << 20
	if over := size("names", "../examples/names") - size("empty", empty); over > most {
		t.Errorf("a worker is %d bytes over an empty program, at most %d", over, most)
	} else {
		t.Logf("%d bytes over an empty program", over)
	}
}
