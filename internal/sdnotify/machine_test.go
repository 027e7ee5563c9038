package sdnotify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a real systemd, PID 1 of namespaces of its own, in which the unit
// from configs/ runs this project's own binary.
type machine struct {
	t      *testing.T
	dir    string
	init   string      // the pid of its PID 1, as this machine counts
	events chan string // what the workers say
	gate   *os.File    // what the slow worker waits for
}

// unavailable ends a test that this machine cannot run. Where it could have
// been run, in CI, that is a failure.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" {
		t.Fatalf("a real systemd could not be started: %s", why)
	}
	fmt.Fprintf(os.Stderr, "NOT RUN: %s, which needs a real systemd: %s\n", t.Name(), why)
	t.Skipf("NOT RUN: a real systemd could not be started: %s", why)
}

// boot starts the machine.
func boot(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "this needs root")
	}
	for _, tool := range []string{"/lib/systemd/systemd", "systemctl", "systemd-notify", "unshare", "nsenter", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, "%v", err)
		}
	}
	m := &machine{t: t, dir: t.TempDir(), events: make(chan string, 100)}
	m.furnish()
	group := m.cgroup()
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec unshare --pid --mount --cgroup --uts --ipc --fork --kill-child /bin/sh "$1/init.sh" "$1"`, group, m.dir)
	console, err := os.Create(filepath.Join(m.dir, "log"))
	must(t, err)
	defer console.Close()
	cmd.Stdout, cmd.Stderr = console, console
	must(t, cmd.Start())
	t.Cleanup(func() { m.halt(cmd, group) })
	m.until("systemd answers", func() bool {
		if m.init == "" {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
			m.init = strings.TrimSpace(string(children))
			return false
		}
		state, err := m.run("systemctl", "is-system-running")
		var failed *exec.ExitError
		return err == nil || errors.As(err, &failed) && strings.TrimSpace(state) == "degraded"
	})
	return m
}

// furnish writes what the machine finds when it boots.
func (m *machine) furnish() {
	m.t.Helper()
	binary := filepath.Join(m.dir, "supervise")
	build := exec.Command("go", "build", "-o", binary, "github.com/supertrees/supervise/cmd/supervise")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		m.t.Fatalf("building supervise: %v\n%s", err, out)
	}
	for _, dir := range []string{"units/supervise.service.d", "empty"} {
		must(m.t, os.MkdirAll(filepath.Join(m.dir, dir), 0o755))
	}
	m.copy("../../configs/systemd/supervise.service", "units/supervise.service")
	m.copy("testdata/systemd/test.target", "units/test.target")
	m.copy("testdata/systemd/init.sh", "init.sh")
	m.copy("testdata/systemd/tree.toml", "tree.toml")
	m.write("machine-id", strings.Repeat("7", 32)+"\n")
	m.write("console", "")
	m.write("units/supervise.service.d/test.conf", strings.Join([]string{
		"[Unit]", "DefaultDependencies=no", "[Service]", "ExecStart=",
		"ExecStart=" + binary + " -config " + filepath.Join(m.dir, "tree.toml"),
		"Environment=PATH=" + os.Getenv("PATH"), "WatchdogSec=5", "RestartSec=0", "",
	}, "\n"))
	m.gate = m.fifo("gate")
	go m.listen(m.fifo("events"))
}

// copy puts a file into the machine, with DIR for its directory.
func (m *machine) copy(from, to string) {
	m.t.Helper()
	text, err := os.ReadFile(from)
	must(m.t, err)
	m.write(to, strings.ReplaceAll(string(text), "DIR/", m.dir+"/"))
}

func (m *machine) write(to, text string) {
	m.t.Helper()
	must(m.t, os.WriteFile(filepath.Join(m.dir, to), []byte(text), 0o644))
}

// cgroup makes the machine's own place in the tree of cgroups.
func (m *machine) cgroup() string {
	m.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(m.t, err)
	for line := range strings.Lines(string(mounts)) {
		at, kind, ok := strings.Cut(line, " - ")
		if !ok || !strings.HasPrefix(kind, "cgroup2 ") {
			continue
		}
		group := filepath.Join(strings.Fields(at)[4], fmt.Sprintf("test-of-systemd-%d", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			unavailable(m.t, "%v", err)
		}
		return group
	}
	unavailable(m.t, "no cgroup2 is mounted")
	return ""
}

// halt ends the machine with everything in it.
func (m *machine) halt(cmd *exec.Cmd, group string) {
	if m.t.Failed() {
		for _, name := range []string{"log", "console"} {
			text, _ := os.ReadFile(filepath.Join(m.dir, name))
			m.t.Logf("the machine's %s:\n%s", name, text)
		}
	}
	_ = cmd.Process.Kill() // its child, the machine's PID 1, dies with it
	_ = cmd.Wait()
	_ = os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	m.until("its cgroups are gone", func() bool {
		var groups []string
		_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for i := len(groups) - 1; i >= 0; i-- {
			_ = os.Remove(groups[i])
		}
		_, err := os.Stat(group)
		return err != nil
	})
}

// fifo makes a FIFO that this test holds open at both ends, so that nobody ever
// waits for anybody to open it.
func (m *machine) fifo(name string) *os.File {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	must(m.t, syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	must(m.t, err)
	m.t.Cleanup(func() { f.Close() })
	return f
}

// listen takes what the workers say, line by line, until the machine halts.
func (m *machine) listen(events *os.File) {
	for lines := bufio.NewScanner(events); lines.Scan(); {
		m.events <- lines.Text()
	}
}

// said waits until workers have said all of this, in whatever order.
func (m *machine) said(what ...string) {
	m.t.Helper()
	limit := time.After(patience)
	for len(what) > 0 {
		select {
		case line := <-m.events:
			what = slices.DeleteFunc(what, func(w string) bool { return w == line })
		case <-limit:
			m.t.Fatalf("no worker said %q", what)
		}
	}
}

// open lets the slow worker go on.
func (m *machine) open() {
	m.t.Helper()
	_, err := m.gate.WriteString("go\n")
	must(m.t, err)
}

// run runs a command inside the machine.
func (m *machine) run(args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"--target", m.init, "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), err
}

// systemctl must succeed.
func (m *machine) systemctl(args ...string) {
	m.t.Helper()
	if _, err := m.run(append([]string{"systemctl"}, args...)...); err != nil {
		m.t.Fatal(err)
	}
}

// show is a property of the unit.
func (m *machine) show(property string) string {
	m.t.Helper()
	out, err := m.run("systemctl", "show", "--value", "-p", property, "supervise")
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// shows waits until a property has a value.
func (m *machine) shows(property, value string) {
	m.t.Helper()
	var is string
	defer func() {
		if is != value {
			m.t.Logf("%s is %q", property, is)
		}
	}()
	m.until(property+" is "+value, func() bool { is = m.show(property); return is == value })
}

// processes are the pids, inside the machine, of the unit.
func (m *machine) processes() []string {
	m.t.Helper()
	out, err := m.run("/bin/sh", "-c", `cat $(find /sys/fs/cgroup/system.slice/supervise.service -name cgroup.procs 2>/dev/null) /dev/null`)
	if err != nil && !strings.Contains(out, "\n") {
		return nil
	}
	return strings.Fields(out)
}

// root is the pid, inside the machine, of the tree's root: the sentinel's child.
func (m *machine) root() string {
	m.t.Helper()
	out, err := m.run("/bin/sh", "-c", `cat /proc/$0/task/*/children`, m.show("MainPID"))
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// alive are those of the pids that are there.
func (m *machine) alive(pids []string) (there []string) {
	for _, pid := range pids {
		if _, err := m.run("test", "-e", "/proc/"+pid); err == nil {
			there = append(there, pid)
		}
	}
	return there
}

// until asks again and again; every question is a process of its own, so this
// does not spin.
func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	end := time.Now().Add(2 * patience)
	for !ok() {
		if time.Now().After(end) {
			m.t.Fatalf("it is not so that %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
