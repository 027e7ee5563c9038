package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

const team = `
name = "team"
[defaults]
backoff = { kind = "constant", min = "1h", max = "1h" }
[[child]]
name = "steady"
command = "echo hello from $SUPERVISE_PATH; exec sleep 1000"
[[child]]
name = "job"
command = ["sleep", "1000"]
restart = "temporary"
[[child]]
name = "web"
strategy = "one_for_one"
  [[child.child]]
  name = "api"
  command = "trap 'echo got it; exit 7' USR1; echo set; while :; do sleep 0.1; done"
[[child]]
name = "pool"
strategy = "simple_one_for_one"
  [[child.child]]
  name = "worker"
  command = ["sleep"]
`

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	before := r.node("/steady")
	r.do(0, "stop", "/steady")
	if alive(before.Pid) {
		t.Error("stop has returned, and the process is still there")
	}
	if n := r.node("/steady"); n.State != journal.StateDown || n.Pid != 0 || n.LastExit.Reason != "shutdown" || n.LastExit.Signal != "TERM" {
		t.Errorf("after stop: %+v", n.Node)
	}
	r.do(0, "stop", "/steady") // OTP's terminate_child: ok again
	r.do(0, "wait", "/steady", "-for", "down")
	out, _ := r.do(0, "start", "/steady")
	n := r.node("/steady")
	if n.State != journal.StateRunning || n.Incarnation != 2 || n.Restarts != 0 || out != fmt.Sprintf("/steady is running, pid %d\n", n.Pid) {
		t.Errorf("start prints %q; after it: %+v", out, n.Node)
	}
	if _, stderr := r.do(1, "start", "/steady"); stderr != "supervise: start /steady: running\n" {
		t.Errorf("a second start says %q", stderr)
	}
	r.do(0, "restart", "/steady")
	if again := r.node("/steady"); again.Pid == n.Pid || again.Incarnation != 3 || alive(n.Pid) {
		t.Errorf("after restart: %+v", again.Node)
	}
	for _, c := range []struct {
		status int
		word   string
		args   []string
	}{
		{1, "not_found", []string{"stop", "/nobody"}},
		{69, "noproc", []string{"stop", "/nobody/at/all"}},
		{1, "not_found", []string{"restart", "/job"}},
		{1, "running", []string{"remove", "/steady"}},
		{1, "root", []string{"stop", "/"}},
		{1, "root", []string{"restart", "/"}},
		{1, "root", []string{"remove", "/"}},
		{1, "not_found", []string{"status", "/nobody"}},
		{1, "not_found", []string{"why", "/nobody"}},
		{1, "not_found", []string{"wait", "/nobody", "-for", "up"}},
	} {
		if _, stderr := r.do(c.status, c.args...); !strings.Contains(stderr, ": "+c.word) {
			t.Errorf("%q says %q, want %s", c.args, stderr, c.word)
		}
	}
}

func TestSignalWaitAndWhy(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	r.stdout.wait(t, "/web/api | set")
	r.do(0, "signal", "/web/api", "USR1")
	r.stdout.wait(t, "/web/api | got it")
	waiting := func() journal.State { return r.node("/web/api").State }
	follow := r.follow(t)
	follow.wait(t, `"event":"backoff","path":"/web/api"`)
	if got := waiting(); got != journal.StateWaiting {
		t.Errorf("after its end it is %s", got)
	}
	out, _ := r.do(0, "why", "/web/api")
	for _, want := range []string{"/web/api is waiting.", "ended abnormal, with status 7,", "It is permanent", "The next try is in ", "got it"} {
		if !strings.Contains(out, want) {
			t.Errorf("why lacks %q:\n%s", want, out)
		}
	}
	if _, stderr := r.do(1, "start", "/web/api"); !strings.Contains(stderr, "restarting") {
		t.Errorf("start says %q", stderr)
	}
	_, stderr := r.do(124, "wait", "/web/api", "-for", "ready", "-timeout", "10ms")
	if !strings.Contains(stderr, "timeout") {
		t.Errorf("wait says %q", stderr)
	}
	r.do(0, "restart", "/web/api")
	r.do(0, "wait", "/web/api", "-for", "ready")
	if out, _ := r.do(0, "logs", "/web/api"); !strings.HasPrefix(out, "set\ngot it\n") {
		t.Errorf("logs print %q", out)
	}
}

// follow reads the tree's events as they come; it has the first when it returns.
func (r *running) follow(t *testing.T) *text {
	t.Helper()
	cmd := program(t, r.dir, "events", "-json", "-follow")
	from, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x := newText()
	ended := make(chan struct{})
	go func() { x.fill(from); cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	x.wait(t, `"seq":1,`)
	return x
}

func TestEventsHaveNoGapsAndEndWithTheTree(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	follow := r.follow(t)
	r.do(0, "restart", "/steady")
	for i, e := range r.events() {
		if e.Seq != uint64(i+1) || e.Time.IsZero() || e.Event == "" || e.Path == "" {
			t.Fatalf("event %d is %+v", i+1, e)
		}
	}
	r.do(0, "shutdown")
	follow.wait(t, `"event":"exit","path":"/",`)
	if got := r.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}
}

func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	os.WriteFile(filepath.Join(r.dir, "new.toml"), []byte("name = \"new\"\ncommand = [\"sleep\", \"1000\"]\n"), 0o600)
	os.WriteFile(filepath.Join(r.dir, "bad.toml"), []byte("name = \"bad\"\ncommand = [\"/no/such/program\"]\n"), 0o600)
	r.do(0, "add", "/web", "-spec", "new.toml")
	if _, stderr := r.do(1, "add", "/web", "-spec", "new.toml"); !strings.Contains(stderr, "already_started") {
		t.Errorf("a second add says %q", stderr)
	}
	r.do(0, "stop", "/web/new")
	if _, stderr := r.do(1, "add", "/web", "-spec", "new.toml"); !strings.Contains(stderr, "already_present") {
		t.Errorf("an add of what is down says %q", stderr)
	}
	r.do(0, "remove", "/web/new")
	r.do(1, "status", "/web/new")
	if _, stderr := r.do(1, "add", "/", "-spec", "bad.toml"); !strings.Contains(stderr, "/no/such/program") {
		t.Errorf("an add that fails says %q", stderr)
	}
	r.do(1, "status", "/bad")

	out, _ := r.do(0, "add", "/pool", "--", "1000")
	if !strings.HasPrefix(out, "/pool/1 is running") {
		t.Errorf("add of an instance prints %q", out)
	}
	one := r.node("/pool/1").Pid
	r.do(0, "stop", "/pool/1")
	if alive(one) {
		t.Error("the instance is still there")
	}
	if out, _ = r.do(0, "add", "/pool", "--", "1000"); !strings.HasPrefix(out, "/pool/2 is running") {
		t.Errorf("a number is used again: %q", out)
	}
	out, _ = r.do(0, "__complete", "stop", "/po")
	if out != "/pool\n/pool/2\n" {
		t.Errorf("completion proposes %q", out)
	}
}

// The child goes on when what it printed has come: a reader that a busy machine
// makes wait would lose lines, as it should.
func TestOutputPassesThrough(t *testing.T) {
	t.Parallel()
	const pieces, size, kept = 20, 500_000, 64 << 10
	r := launch(t, fmt.Sprintf(`
auto_shutdown = "any_significant"
[[child]]
name = "talk"
command = '''
mkfifo go; exec 3<>go; echo one; echo two >&2
i=0; while [ $i -lt %d ]; do head -c %d /dev/zero | tr '\0' x; read word <&3; i=$((i+1)); done
echo; printf "no newline"
'''
restart = "temporary"
significant = true
`, pieces, size), nil)
	for i := range pieces {
		r.stdout.await(t, "a piece", func(said string) bool { return strings.Count(said, "x") >= (i+1)*size-kept })
		os.WriteFile(filepath.Join(r.dir, "go"), []byte("\n"), 0)
	}
	r.status()
	out := r.stdout.String()
	if !strings.HasPrefix(out, "/talk | one\n") || !strings.HasSuffix(out, "/talk | no newline\n") || !strings.Contains(r.stderr.String(), "/talk | two\n") {
		t.Errorf("stdout begins %.40q and ends %q", out, out[max(0, len(out)-40):])
	}
	if n := strings.Count(out, "x"); n != pieces*size {
		t.Errorf("%d of %d bytes came", n, pieces*size)
	}
}

// Whatever becomes of supervise's own output, the tree goes on.
func TestAStandardOutputThatIsFullOrGone(t *testing.T) {
	t.Parallel()
	gone, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stuck, stuckWriter, err := os.Pipe() // nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	for name, out := range map[string]*os.File{"gone": writer, "full": full, "stuck": stuckWriter} {
		r := launch(t, `
name = "noisy"
[[child]]
name = "warned-of"
strategy = "one_for_one"
restart = "transient"
intensity = 1
period = "5s"
  [[child.child]]
  name = "a"
  command = ["sleep", "1000"]
[[child]]
name = "flood"
command = "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; echo e >&2; done"
`, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = out, out })
		out.Close()
		r.awaitSocket("noisy")
		r.do(0, "wait", "/flood", "-for", "ready", "-timeout", patience.String())
		r.do(0, "restart", "/flood")
		r.do(0, "shutdown")
		if got := r.status(); got != 0 {
			t.Errorf("%s: the status is %d", name, got)
		}
	}
}

func TestGarbageOnTheRealSocket(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	socket := filepath.Join(r.dir, "supervise", "team.sock")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for i := range 200 {
				conn, err := net.Dial("unix", socket)
				if err != nil {
					continue
				}
				fmt.Fprint(conn, []string{"", "\x00\xff garbage", "GET /v1/sta", "POST /v1/add HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"}[i%4])
				defer conn.Close()
			}
		})
	}
	all.Wait()
	if n := r.node("/steady"); n.State != journal.StateRunning || n.Incarnation != 1 {
		t.Errorf("afterwards: %+v", n.Node)
	}
}
