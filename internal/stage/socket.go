package stage

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// The stage's socket. A process that is about to start connects and writes
// "attempt PATH PID PROGRAM"; the answer is what comes of it: "ok HOW" (what
// it does when it is told to stop), "error REASON" or "ignore". A worker stays
// connected, and may be told "exit HOW".

// actor is a process that asked.
type actor struct {
	path    string
	pid     int
	outcome string // what it is told, or will be when it is released
	gated   bool
	shown   bool // its gate stands in the trace
	conn    net.Conn
}

// say writes one line. A process that is gone does not hear it.
func (a *actor) say(line string) { fmt.Fprintln(a.conn, line) }

// listener is the stage's socket and its sink.
type listener struct {
	world   *World
	socket  net.Listener
	sink    net.PacketConn
	settled chan struct{}
}

func listen(path string, w *World) (*listener, error) {
	socket, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for the actors of the stage: %w", err)
	}
	sink, err := net.ListenPacket("unixgram", SinkPath(w.dir))
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("listening for orphaned nodes: %w", err)
	}
	l := &listener{world: w, socket: socket, sink: sink, settled: make(chan struct{})}
	go l.accept()
	go l.readSink()
	return l, nil
}

func (l *listener) close() {
	l.socket.Close()
	l.sink.Close()
}

func (l *listener) accept() {
	for {
		conn, err := l.socket.Accept()
		if err != nil {
			return
		}
		go l.world.cast(conn)
	}
}

// cast tells a process what comes of its start. The connection is closed by
// the process's end.
func (w *World) cast(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		conn.Close()
		return
	}
	words := strings.Fields(lines.Text())
	if len(words) != 4 || words[0] != "attempt" {
		conn.Close()
		return
	}
	pid, _ := strconv.Atoi(words[2])
	program, _ := strconv.ParseUint(words[3], 10, 64)
	w.attempt(&actor{path: words[1], pid: pid, conn: conn}, program)
	for lines.Scan() {
		// A process has nothing more to say; this waits for its end.
	}
	conn.Close()
}

// attempt decides what comes of a start.
func (w *World) attempt(a *actor, program uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.touch()
	if program == 0 || program > uint64(len(w.programs)) {
		a.say("error no such program")
		return
	}
	c := w.programs[program-1]
	if c.Spec.Kind == tree.KindSupervisor {
		w.simple[a.path] = c.Flags.Strategy == tree.SimpleOneForOne
		w.flags[a.path] = c.Flags.AutoShutdown
		w.runs[a.path] = c
	}
	outcome := c.Outcome(w.attempts[a.path])
	w.attempts[a.path]++
	if outcome >= sim.GateOK {
		a.gated = true
		outcome -= sim.GateOK
	}
	a.outcome = words(c, outcome)
	w.actors[a.path] = a
	if a.gated {
		w.showGate(a.path)
		return
	}
	a.say(a.outcome)
}

// words is what a process is told of its start.
func words(c *sim.Child, o sim.Outcome) string {
	switch o {
	case sim.Error:
		return "error start_error"
	case sim.Ignore:
		return "ignore"
	}
	if c.Spec.Kind == tree.KindSupervisor {
		if err := flaw(c); err != nil {
			return "error " + err.Error()
		}
	}
	return "ok " + c.OnShutdown.String()
}

// The environment of every process of a stage.
const (
	envStage   = "SUPERVISE_STAGE"   // its directory
	envProgram = "SUPERVISE_PROGRAM" // what this process is to do
)

// question asks the stage what comes of this process's start.
func question() (answer string, lines *bufio.Scanner, err error) {
	conn, err := net.Dial("unix", os.Getenv(envStage)+"/stage")
	if err != nil {
		return "", nil, fmt.Errorf("asking the stage: %w", err)
	}
	program := os.Getenv(envProgram)
	if program == "" {
		program = "0"
	}
	fmt.Fprintln(conn, "attempt", os.Getenv("SUPERVISE_PATH"), os.Getpid(), program)
	lines = bufio.NewScanner(conn)
	if !lines.Scan() {
		return "", nil, fmt.Errorf("asking the stage: no answer: %w", lines.Err())
	}
	return lines.Text(), lines, nil
}
