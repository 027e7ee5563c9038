package e2e

import (
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

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
)

// running is a real tree.
type running struct {
	t      testing.TB
	dir    string // its own, with tree.toml and the socket
	socket string
	mark   string
	cmd    *exec.Cmd
	stdout *text
	stderr *text
	ended  chan struct{} // closed when the program has ended and all it printed is read
	events *follower     // once something asked for events
}

// prepare changes a tree's command line before it is started.
type prepare func(*running)

// under has the tree run by another program: under("nohup").
func under(words ...string) prepare {
	return func(r *running) {
		path, err := exec.LookPath(words[0])
		if err != nil {
			r.t.Fatal(err)
		}
		r.cmd.Path, r.cmd.Args = path, append(words, append([]string{program()}, r.cmd.Args[1:]...)...)
	}
}

// with adds to the tree's environment.
func with(env ...string) prepare {
	return func(r *running) { r.cmd.Env = append(r.cmd.Env, env...) }
}

// environment is what every process of a test is given.
func environment(dir, mark string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "NO_COLOR=1",
		envMark + "=" + mark, envSelf + "=" + os.Getenv(envSelf), envProgram + "=" + program(),
	}
	if races := os.Getenv("GORACE"); races != "" {
		env = append(env, "GORACE="+races)
	}
	return env
}

// scratch is a directory whose name is short enough for a socket in it.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// launch starts a tree, and does not wait for anything.
func launch(t testing.TB, toml string, how ...prepare) *running {
	t.Helper()
	dir := scratch(t)
	if err := os.WriteFile(filepath.Join(dir, "tree.toml"), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	return launchFile(t, dir, "tree.toml", how...)
}

// launchFile starts the tree of a file that is there already.
func launchFile(t testing.TB, dir, file string, how ...prepare) *running {
	t.Helper()
	r := &running{
		t: t, dir: dir, mark: filepath.Base(scratch(t)),
		stdout: newText(), stderr: newText(), ended: make(chan struct{}),
	}
	r.socket = filepath.Join(dir, "sock")
	r.cmd = exec.Command(program(), "-config", file, "-socket", r.socket)
	r.cmd.Dir = dir
	r.cmd.Env = environment(dir, r.mark)
	for _, prepare := range how {
		prepare(r)
	}
	var pipes sync.WaitGroup
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
func boot(t testing.TB, toml string, how ...prepare) *running {
	t.Helper()
	r := launch(t, toml, how...)
	r.await("/", journal.Start)
	return r
}

// signal sends a signal to the program.
func (r *running) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// stop ends a tree that a test has left running, and sees that nothing is left.
func (r *running) stop() {
	if r.events != nil {
		defer r.events.stop()
	}
	select {
	case <-r.ended:
	default:
		r.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-r.ended:
		case <-time.After(patience):
			r.cmd.Process.Kill()
			r.t.Errorf("the tree did not end; it said\n%s", r.stderr)
		}
	}
	if r.t.Failed() {
		r.t.Logf("the tree said on standard error\n%s", tail(r.stderr.String()))
	}
	r.nothingLeft()
}

func tail(s string) string { return s[max(0, len(s)-8000):] }

// nothingLeft checks that no process of the tree is alive.
func (r *running) nothingLeft() {
	r.t.Helper()
	if r.events != nil {
		r.events.stop()
	}
	for _, pid := range marked(r.mark) {
		what, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		r.t.Errorf("process %s is left of the tree: %q", pid, what)
	}
}

// status waits for the end of the tree, and is its exit status.
func (r *running) status() int {
	r.t.Helper()
	select {
	case <-r.ended:
		r.nothingLeft()
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		r.t.Fatalf("the tree did not end; it said\n%s", tail(r.stderr.String()))
		return -1
	}
}

// endsWith checks the exit status of the tree.
func (r *running) endsWith(status int) {
	r.t.Helper()
	if got := r.status(); got != status {
		r.t.Errorf("the tree ended with status %d, want %d; it said\n%s", got, status, tail(r.stderr.String()))
	}
}

// ask makes a command that talks to the tree.
func (r *running) ask(args ...string) *exec.Cmd {
	cmd := exec.Command(program(), args...)
	cmd.Dir = r.dir
	cmd.Env = append(environment(r.dir, "none"), "SUPERVISE_SOCKET="+r.socket)
	return cmd
}

// does runs a command that talks to the tree, and must end with that status.
func (r *running) does(status int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	return finishes(r.t, r.ask(args...), status)
}

// finishes runs a command to its end, which must be that status.
func finishes(t testing.TB, cmd *exec.Cmd, status int) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%q ended with status %d, want %d; stdout %q, stderr %q", cmd.Args[1:], got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// node is what status -json says of a path.
func (r *running) node(path string) (n control.NodeStatus) {
	r.t.Helper()
	out, _ := r.does(0, "status", "-json", path)
	if err := json.Unmarshal([]byte(out), &n); err != nil {
		r.t.Fatalf("status of %s: %v", path, err)
	}
	return n
}

// follower reads `events -json -follow` of a tree.
type follower struct {
	cmd   *exec.Cmd
	said  *text
	ended chan struct{}
}

func (f *follower) stop() {
	f.cmd.Process.Kill()
	<-f.ended
}

// follow begins to read the tree's events, once there is a tree to ask.
func (r *running) follow() {
	r.t.Helper()
	if r.events != nil {
		return
	}
	r.does(0, "wait", "/", "-for", "up", "-timeout", patience.String())
	f := &follower{cmd: r.ask("events", "-json", "-follow"), said: newText(), ended: make(chan struct{})}
	from, err := f.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { f.said.fill(from); f.cmd.Wait(); close(f.ended) }()
	r.events = f
	f.said.says(r.t, "\n") // it is connected: the tree's end will not come first
}

// find waits for the first event that is as the test wants it.
func (r *running) find(what string, wanted func(*journal.Record) bool) (found journal.Record) {
	r.t.Helper()
	r.follow()
	seen := 0
	r.events.said.await(r.t, what, func(said string) bool {
		for {
			end := strings.IndexByte(said[seen:], '\n')
			if end < 0 {
				return false
			}
			var rec journal.Record
			if err := json.Unmarshal([]byte(said[seen:seen+end]), &rec); err != nil {
				r.t.Errorf("event %q: %v", said[seen:seen+end], err)
			}
			seen += end + 1
			if wanted(&rec) {
				found = rec
				return true
			}
		}
	})
	return found
}

// await waits for an event of a path; of an incarnation, if one is named.
func (r *running) await(path, event string, incarnation ...uint64) journal.Record {
	r.t.Helper()
	return r.find(fmt.Sprint(event, " of ", path, " ", incarnation), func(rec *journal.Record) bool {
		return rec.Path == path && rec.Event == event && (len(incarnation) == 0 || rec.Incarnation == incarnation[0])
	})
}

// history is every event so far.
func (r *running) history() (all []journal.Record) {
	r.t.Helper()
	out, _ := r.does(0, "events", "-json")
	return records(r.t, out)
}

func records(t testing.TB, lines string) (all []journal.Record) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var rec journal.Record
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		all = append(all, rec)
	}
	return all
}

// write puts a file into the tree's directory.
func (r *running) write(name, content string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return path
}
