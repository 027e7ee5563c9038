package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sleeper = `
name = "shop"
[[child]]
name = "a"
command = ["sleep", "1000"]
`

func TestAnOrderlyEndIsStatus0(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := boot(t, sleeper)
		r.cmd.Process.Signal(signal)
		if got := r.status(); got != 0 {
			t.Errorf("after %v the status is %d; it said\n%s", signal, got, r.stderr)
		}
	}
	r := boot(t, sleeper)
	r.do(0, "shutdown")
	if got := r.status(); got != 0 {
		t.Errorf("after shutdown the status is %d", got)
	}
}

func TestASecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "stubborn"
command = "trap 'echo no' TERM; echo set; while :; do sleep 1; done"
shutdown = "infinity"
`)
	r.stdout.wait(t, "/stubborn | set")
	r.cmd.Process.Signal(syscall.SIGINT)
	r.stderr.wait(t, "asked to stop: path=/stubborn ")
	r.insist(syscall.SIGINT)
	if got := r.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}
}

// insist goes on giving an order until the tree has ended: at the same moment
// it is the same order still, and then it is a second one.
func (r *running) insist(sig syscall.Signal) {
	again := time.NewTicker(echo)
	defer again.Stop()
	for {
		select {
		case <-r.ended:
			return
		case <-again.C:
			r.cmd.Process.Signal(sig)
		}
	}
}

func TestAutoShutdownPassesTheStatusOn(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		command string
		status  int
	}{{"exit 0", 0}, {"exit 42", 42}, {"kill -SEGV $$", 128 + int(syscall.SIGSEGV)}} {
		r := launch(t, `
auto_shutdown = "any_significant"
[[child]]
name = "bystander"
command = ["sleep", "1000"]
[[child]]
name = "job"
command = "`+x.command+`"
restart = "temporary"
significant = true
`, nil)
		if got := r.status(); got != x.status {
			t.Errorf("after %q the status is %d, want %d; it said\n%s", x.command, got, x.status, r.stderr)
		}
	}
}

func TestARootThatGivesUpIsStatus1(t *testing.T) {
	t.Parallel()
	r := launch(t, `
intensity = 2
period = "60s"
[[child]]
name = "crash"
command = "exit 3"
backoff = { kind = "none" }
`, nil)
	if got := r.status(); got != 1 || !strings.Contains(r.stderr.String(), "gives up") {
		t.Errorf("the status is %d; it said\n%s", got, r.stderr)
	}
}

func TestAChildThatCannotBeStartedAtBootIsStatus1(t *testing.T) {
	t.Parallel()
	r := launch(t, `
[[child]]
name = "first"
command = ["sleep", "1000"]
[[child]]
name = "missing"
command = ["/no/such/program"]
`, nil)
	if got := r.status(); got != 1 || !strings.Contains(r.stderr.String(), "/no/such/program") {
		t.Errorf("the status is %d; it said\n%s", got, r.stderr)
	}
}

func TestTheOtherStatuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong.toml")
	os.WriteFile(wrong, []byte("[[child]]\nname = \"a\"\ncomand = [\"x\"]\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "sleeper.toml"), []byte(sleeper), 0o600)
	for _, x := range []struct {
		status int
		says   string
		args   []string
	}{
		{64, "nothing to do", nil},
		{64, "there is no command", []string{"fly"}},
		{64, "there is no flag", []string{"-flag"}},
		{64, "which tree is meant", []string{"status"}},
		{65, "reading scenario", []string{"simulate", "sleeper.toml"}},
		{66, "no such file", []string{"-config", "none.toml"}},
		{66, "no such file", []string{"check", "none.toml"}},
		{69, "no running tree answers", []string{"status", "-socket", "none.sock"}},
		{77, "control socket", []string{"-config", "sleeper.toml", "-socket", "/proc/none/s"}},
		{78, `wrong.toml:3:1: `, []string{"-config", wrong}},
		{78, `did you mean "command"?`, []string{"-config", wrong, "-check"}},
		{78, `did you mean "command"?`, []string{"check", wrong}},
	} {
		stdout, stderr := runBinary(t, dir, x.status, x.args...)
		if !strings.Contains(stderr, x.says) || stdout != "" {
			t.Errorf("%q: stdout %q, stderr %q, want %q", x.args, stdout, stderr, x.says)
		}
	}
}

func TestASecondTreeOnOneConfigurationIsStatus75(t *testing.T) {
	t.Parallel()
	r := boot(t, sleeper)
	pid := r.node("/").Pid
	_, stderr := r.do(75, "-config", "tree.toml")
	if !strings.Contains(stderr, "a tree already runs there") {
		t.Errorf("the second says %q", stderr)
	}
	if got := r.node("/"); got.Pid != pid {
		t.Errorf("now pid %d answers, before it was %d", got.Pid, pid)
	}
}

func TestAnotherUserIsStatus77(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: being another user needs root")
		return
	}
	r := boot(t, sleeper)
	socket := filepath.Join(r.dir, "supervise", "shop.sock")
	os.Chmod(socket, 0o666) // as if its mode did not keep others out
	letIn(r.dir)
	nobody := program(t, "/", "status", "-socket", socket)
	nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := nobody.CombinedOutput()
	if got := nobody.ProcessState.ExitCode(); got != 77 || !strings.Contains(string(out), "not_permitted") {
		t.Errorf("another user's status is %d, %q, %v", got, out, err)
	}
}

// letIn lets other users into a test's directory, and to the program.
func letIn(dir string) {
	path, _ := binary()
	for _, at := range []string{dir, filepath.Dir(dir), filepath.Dir(path)} {
		os.Chmod(at, 0o755)
	}
}

func TestAStaleSocketIsNoHindrance(t *testing.T) {
	t.Parallel()
	r := boot(t, sleeper)
	root := r.node("/").Pid
	syscall.Kill(r.cmd.Process.Pid, syscall.SIGSTOP) // so that it does not clear up
	syscall.Kill(root, syscall.SIGKILL)
	syscall.Kill(r.cmd.Process.Pid, syscall.SIGKILL)
	r.status()
	again := program(t, r.dir, "-config", "tree.toml")
	said := newText()
	from, to, _ := os.Pipe()
	again.Stderr = to
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	to.Close()
	go said.fill(from)
	said.wait(t, "supervisor is up: path=/ ")
	again.Process.Signal(syscall.SIGTERM)
	if err := again.Wait(); err != nil {
		t.Error(err)
	}
}

func TestWithoutAPlaceForTheSocketTheTreeRuns(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Log("in part: root may write to /run, so a child of the test runs as nobody")
	}
	r := launch(t, sleeper, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR=/proc/none")
		if os.Geteuid() == 0 {
			os.Chmod(filepath.Join(cmd.Dir, "tree.toml"), 0o644)
			letIn(cmd.Dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
	})
	r.stderr.wait(t, "running without a control socket")
	r.stderr.wait(t, "supervisor is up: path=/ ")
}
