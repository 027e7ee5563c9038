package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// patience bounds every wait; poll is how often a state is looked at again.
const (
	patience = 2 * time.Minute
	poll     = 10 * time.Millisecond
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "supervise")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/supervise").CombinedOutput(); err != nil {
		panic(string(out))
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// SEED=n plays one seed, ROUNDS=n so many rounds of each; without them a few
// fixed seeds are played, and a failure prints the line that repeats it.
func TestChaos(t *testing.T) {
	seeds, rounds := []uint64{1, 2, 3, 4}, 4
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seeds = []uint64{s}
	}
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		rounds = n
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("to repeat it: make chaos SEED=%d ROUNDS=%d", seed, rounds)
				}
			})
			play(t, seed, rounds)
		})
	}
}

// play runs one tree through its rounds, and ends it in one of three ways.
func play(t *testing.T, seed uint64, rounds int) {
	r := rand.New(rand.NewPCG(seed, seed))
	w := newWorld(t, r, seed)
	w.start()
	w.settle()
	stop := w.pound()
	watching := w.watchForDoubles()
	for round := range rounds {
		w.hurt(r)
		if r.IntN(3) == 0 { // while it still has to do with that
			w.end(syscall.SIGKILL, r.IntN(2) == 0)
			w.start()
		}
		w.settle()
		w.inspect(round)
	}
	stop()
	watching()
	w.end([...]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[r.IntN(2)], r.IntN(2) == 0)
}

// world is one tree under test. When its root or sentinel has been killed the
// same configuration is started again: each run has a directory for what it
// writes down.
type world struct {
	t      *testing.T
	mark   string
	dir    string
	file   string
	socket string
	log    *os.File
	runs   int
	cmd    *exec.Cmd // of the present run
	ended  chan error
	client *http.Client
}

func newWorld(t *testing.T, r *rand.Rand, seed uint64) *world {
	w := &world{t: t, dir: t.TempDir(), file: randomTree(t, r)}
	w.mark = fmt.Sprintf("CHAOS_MARK=%d-%d", os.Getpid(), seed)
	w.socket = filepath.Join(w.dir, "s")
	var err error
	if w.log, err = os.Create(filepath.Join(w.dir, "log")); err != nil {
		t.Fatal(err)
	}
	w.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", w.socket)
		},
	}}
	t.Cleanup(func() {
		for _, p := range marked(w.mark) {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		if t.Failed() {
			text, _ := os.ReadFile(w.log.Name())
			t.Logf("the tree:\n%s\nthe end of its log:\n%s", read(w.file), tail(string(text), 60))
		}
		w.log.Close()
	})
	return w
}

// start begins a run.
func (w *world) start() {
	w.t.Helper()
	w.runs++
	if err := os.Mkdir(w.records(), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.cmd = exec.Command(binary, "-config", w.file, "-socket", w.socket, "-log-level", "debug")
	w.cmd.Env = append(os.Environ(), w.mark, "SUPERVISE_RECORD="+w.records())
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	cmd, ended := w.cmd, make(chan error, 1)
	w.ended = ended
	go func() { ended <- cmd.Wait() }()
}

// records is where the supervisors of the present run write down their steps.
func (w *world) records() string { return filepath.Join(w.dir, fmt.Sprint("run", w.runs)) }

// status is a node as the tree itself sees it.
type status struct {
	Path     string   `json:"path"`
	Kind     string   `json:"kind"`
	State    string   `json:"state"`
	Pid      int      `json:"pid"`
	Inc      uint64   `json:"incarnation"`
	Children []status `json:"children"`
}

func (s status) walk(f func(status)) {
	f(s)
	for _, c := range s.Children {
		c.walk(f)
	}
}

func (w *world) status() (s status, err error) {
	answer, err := w.client.Get("http://tree/v1/status")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// calm says whether everything is where it belongs: what is running has the
// process that the status names, and nothing waits, starts or stops.
func (w *world) calm() (why string) {
	s, err := w.status()
	if err != nil {
		return err.Error()
	}
	s.walk(func(n status) {
		switch n.State {
		case "running":
			if p, ok := look(n.Pid); !ok || p.state == 'Z' || p.state == 'T' {
				why = n.Path + " is said to run and does not"
			}
		case "down":
		default:
			why = n.Path + " is " + n.State
		}
	})
	return why
}

// settle waits until the tree has come to rest. Crashers make it restless, so
// that being calm once is enough.
func (w *world) settle() { w.eventually("coming to rest", w.calm) }

// eventually waits until check has nothing to say.
func (w *world) eventually(what string, check func() string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		why := check()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: after %v still: %s", what, patience, why)
		}
		<-tick.C
	}
}

// hurt sends signals to random processes of the tree: workers, what they left,
// and supervisors, but neither the root nor its sentinel. What was stopped goes
// on when all are hurt.
func (w *world) hurt(r *rand.Rand) {
	var victims []process
	for _, p := range marked(w.mark) {
		if p.path != "" && p.path != "/" {
			victims = append(victims, p)
		}
	}
	var stopped []process
	for range 1 + r.IntN(6) {
		if len(victims) == 0 {
			return
		}
		p := victims[r.IntN(len(victims))]
		sig := [...]syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP}[r.IntN(4)]
		w.t.Logf("%v to %v", sig, p)
		syscall.Kill(p.pid, sig)
		if sig == syscall.SIGSTOP {
			stopped = append(stopped, p)
		}
	}
	for _, p := range stopped {
		if same(p) || stillThere(p) {
			syscall.Kill(p.pid, syscall.SIGCONT)
		}
	}
}

func stillThere(p process) bool {
	now, ok := look(p.pid)
	return ok && now.start == p.start
}

// inspect looks at what is left after a round.
func (w *world) inspect(round int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("round %d: nothing left over", round), func() string {
		s, err := w.status()
		if err != nil {
			return err.Error()
		}
		current := map[string]status{}
		s.walk(func(n status) { current[n.Path] = n })
		supervisors := map[int]bool{w.cmd.Process.Pid: true}
		for _, p := range marked(w.mark) {
			if p.command == "supervise" {
				supervisors[p.pid] = true
			}
			if p.path == "" || !same(p) {
				continue
			}
			n, known := current[p.path]
			switch {
			case !known:
				return fmt.Sprintf("%v belongs to nothing", p)
			case p.path != "/" && p.incarnation != n.Inc:
				return fmt.Sprintf("%v is of another life than the present one, #%d", p, n.Inc)
			case n.Pid == 0:
				return fmt.Sprintf("%v is left of a child that is %s", p, n.State)
			}
		}
		if z := zombies(supervisors); len(z) > 0 {
			return fmt.Sprintf("not reaped: %v", z)
		}
		return ""
	})
}

// pound has clients ask, order and annoy, until the returned function is called.
func (w *world) pound() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 99))
			for ctx.Err() == nil {
				w.request(ctx, r)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// request is one thing that a client does. Nothing is expected of it but that
// the tree lives on.
func (w *world) request(ctx context.Context, r *rand.Rand) {
	if r.IntN(8) == 0 {
		conn, err := net.Dial("unix", w.socket)
		if err == nil {
			fmt.Fprintf(conn, "GET /v1/\x00garbage")
			conn.Close()
		}
		return
	}
	s, err := w.status()
	if err != nil {
		return
	}
	var paths []string
	s.walk(func(n status) {
		if n.Path != "/" {
			paths = append(paths, n.Path)
		}
	})
	if len(paths) == 0 {
		return // a root that has just begun
	}
	path := paths[r.IntN(len(paths))]
	verb := [...]string{"why", "logs", "restart"}[r.IntN(3)]
	method := http.MethodGet
	if verb == "restart" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tree/v1/"+verb+path, nil)
	if err != nil {
		return
	}
	if answer, err := w.client.Do(req); err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// watchForDoubles looks all the time for processes of two lives of one path. One
// scan of /proc is no instant, so both must still be there after it.
func (w *world) watchForDoubles() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			for path, ps := range byPath(marked(w.mark)) {
				lives := map[uint64]bool{}
				for _, p := range ps {
					if same(p) {
						lives[p.incarnation] = true
					}
				}
				if len(lives) > 1 {
					w.t.Errorf("two lives of %s at once: %v", path, ps)
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// end ends a run by a signal to the root or to the sentinel: whichever it is,
// nothing is left, and what was written down holds.
func (w *world) end(sig syscall.Signal, atRoot bool) {
	w.t.Helper()
	victim, want := w.cmd.Process.Pid, "signal: killed"
	if atRoot {
		victim, want = w.root(), "exit status 137"
	}
	if sig == syscall.SIGTERM {
		want = "<nil>"
	}
	w.t.Logf("the end of run %d: %v to %d (the sentinel is %d)", w.runs, sig, victim, w.cmd.Process.Pid)
	syscall.Kill(victim, sig)
	w.eventually("ending", func() string {
		if left := marked(w.mark); len(left) > 0 {
			return fmt.Sprintf("left: %v", left)
		}
		return ""
	})
	if err := <-w.ended; fmt.Sprint(err) != want {
		w.t.Errorf("run %d ended with %v, want %s", w.runs, err, want)
	}
	w.replay()
}

// root is the pid of the present run's root.
func (w *world) root() (pid int) {
	w.t.Helper()
	for _, p := range marked(w.mark) {
		if p.path == "/" && p.parent == w.cmd.Process.Pid {
			return p.pid
		}
	}
	w.t.Fatal("there is no root")
	return 0
}

// replay plays what every supervisor wrote down on a new core: it must decide
// the same again.
func (w *world) replay() {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.records(), "*.steps"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no steps were recorded: %v", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			w.t.Fatal(err)
		}
		if info, err := f.Stat(); err == nil && info.Size() == 0 {
			continue // killed before its first step
		}
		if _, err := journal.Replay(f); err != nil {
			w.t.Error(err)
		}
		f.Close()
	}
}

func read(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
