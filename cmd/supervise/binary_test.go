package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
)

// binary is the real program, built once for the tests that run it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "supervise-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "supervise")
	build := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, _ := binary(); path != "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// patience is how long a test waits for what must come. It proves nothing; it
// only ends a test that would hang.
const patience = 2 * time.Minute

// running is a real tree.
type running struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	stdout *text
	stderr *text
	ended  chan struct{}
}

// text is what a stream printed so far; a test can wait for more.
type text struct {
	mu   sync.Mutex
	more sync.Cond
	all  bytes.Buffer
	end  bool
}

func newText() *text {
	x := &text{}
	x.more.L = &x.mu
	return x
}

func (x *text) fill(from io.Reader) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadBytes('\n')
		x.mu.Lock()
		x.all.Write(line)
		x.end = err != nil
		x.more.Broadcast()
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.String()
}

// wait waits until the stream has said something.
func (x *text) wait(t *testing.T, want string) {
	t.Helper()
	x.await(t, want, func(said string) bool { return strings.Contains(said, want) })
}

// await waits until the stream is as it should be.
func (x *text) await(t *testing.T, what string, holds func(said string) bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		late = true
		x.more.Broadcast()
	})
	defer timer.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !holds(x.all.String()) {
		if x.end || late {
			t.Fatalf("%q was never said; ended %v; said was\n%s", what, x.end, x.all.String())
		}
		x.more.Wait()
	}
}

// program is the program with arguments, in an environment of its own.
func program(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "NO_COLOR=1"}
	return cmd
}

// launch starts a tree from a file, and does not wait for anything.
func launch(t *testing.T, toml string, prepare func(*exec.Cmd)) *running {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tree.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: dir, cmd: program(t, dir, "-config", "tree.toml"), stdout: newText(), stderr: newText(), ended: make(chan struct{})}
	var pipes sync.WaitGroup
	if prepare != nil {
		prepare(r.cmd)
	}
	for _, s := range []struct {
		to *io.Writer
		x  *text
	}{{&r.cmd.Stdout, r.stdout}, {&r.cmd.Stderr, r.stderr}} {
		if *s.to != nil {
			continue
		}
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		*s.to = to
		defer to.Close()
		pipes.Go(func() { s.x.fill(from); from.Close() })
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		pipes.Wait()
		close(r.ended)
	}()
	t.Cleanup(r.stop)
	return r
}

// boot starts a tree and waits until all of it is up.
func boot(t *testing.T, toml string) *running {
	t.Helper()
	r := launch(t, toml, nil)
	r.stderr.wait(t, "supervisor is up: path=/ ")
	return r
}

// stop ends a tree that a test has left running.
func (r *running) stop() {
	r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.cmd.Process.Kill()
		r.t.Errorf("the tree did not end; it said\n%s", r.stderr)
	}
}

// status waits for the end of the tree, and is its exit status.
func (r *running) status() int {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		r.t.Fatalf("the tree did not end; it said\n%s", r.stderr)
		return -1
	}
}

// do runs a command beside the tree, which must end with that status.
func (r *running) do(status int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	return runBinary(r.t, r.dir, status, args...)
}

func runBinary(t *testing.T, dir string, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := program(t, dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("supervise %s: status %d, want %d; stdout %q, stderr %q", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// node is what status -json says of a path.
func (r *running) node(path string) (n control.NodeStatus) {
	r.t.Helper()
	out, _ := r.do(0, "status", "-json", path)
	if err := json.Unmarshal([]byte(out), &n); err != nil {
		r.t.Fatalf("status of %s: %v", path, err)
	}
	return n
}

// events is all that happened.
func (r *running) events() (all []journal.Record) {
	r.t.Helper()
	out, _ := r.do(0, "events", "-json")
	for line := range strings.Lines(out) {
		var rec journal.Record
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			r.t.Fatalf("event %q: %v", line, err)
		}
		all = append(all, rec)
	}
	return all
}

// awaitSocket waits until a tree that cannot be heard has its control socket:
// its directory is watched, not the clock.
func (r *running) awaitSocket(name string) {
	r.t.Helper()
	dir := filepath.Join(r.dir, "supervise")
	os.Mkdir(dir, 0o755)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		r.t.Fatal(err)
	}
	defer unix.Close(fd)
	// The mode is set when the socket already listens.
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_ATTRIB); err != nil {
		r.t.Fatal(err)
	}
	end := time.Now().Add(patience)
	for {
		if info, err := os.Stat(filepath.Join(dir, name+".sock")); err == nil && info.Mode().Perm() == 0o600 {
			return
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(end).Milliseconds())); n == 0 {
			r.t.Fatal("the control socket does not come")
		}
		unix.Read(fd, make([]byte, 4096))
	}
}
