package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/journal"
)

// openPty makes a terminal: what is written to the terminal's side is read
// from the master, and closing the master is the user closing the window.
func openPty(t testing.TB) (master, terminal *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// onTerminal has the tree run in a session of its own on a terminal.
func onTerminal(terminal *os.File) prepare {
	return func(r *running) {
		r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = terminal, terminal, terminal
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
}

// inColour takes NO_COLOR away and names a terminal.
func inColour(cmd *exec.Cmd) {
	var env []string
	for _, kv := range cmd.Env {
		if !strings.HasPrefix(kv, "NO_COLOR=") {
			env = append(env, kv)
		}
	}
	cmd.Env = append(env, "TERM=xterm")
}

func TestColoursAreForTerminalsAlone(t *testing.T) {
	t.Parallel()
	const toml = `
[[child]]
name = "talk"
command = "echo hello; exec sleep 1000"
`
	master, terminal := openPty(t)
	defer master.Close()
	screen := newText()
	go screen.fill(master)
	r := boot(t, toml, onTerminal(terminal), func(r *running) { inColour(r.cmd) })
	terminal.Close()
	screen.says(t, "m/talk |\x1b[0m hello")

	plain := boot(t, toml, func(r *running) { inColour(r.cmd) })
	plain.stdout.says(t, "/talk | hello\n")
	if strings.Contains(plain.stdout.String()+plain.stderr.String(), "\x1b") {
		t.Errorf("colours in a pipe: %q %q", plain.stdout, plain.stderr)
	}

	status := r.ask("status")
	inColour(status)
	out, _ := finishes(t, status, 0)
	if strings.Contains(out, "\x1b") || strings.Contains(out, "─") {
		t.Errorf("colours or glyphs in a pipe: %q", out)
	}
	master2, terminal2 := openPty(t)
	defer master2.Close()
	screen2 := newText()
	go screen2.fill(master2)
	status = r.ask("status")
	inColour(status)
	status.Stdout = terminal2
	if err := status.Run(); err != nil {
		t.Fatal(err)
	}
	terminal2.Close()
	screen2.says(t, "└─ talk")
	screen2.says(t, "\x1b[32mrunning\x1b[0m")
}

// Ctrl-C on a terminal reaches the foreground group: the program alone, and
// the children by its order, the last one first.
func TestCtrlCEndsTheTreeInOrder(t *testing.T) {
	t.Parallel()
	master, terminal := openPty(t)
	defer master.Close()
	screen := newText()
	go screen.fill(master)
	r := boot(t, sleepers, onTerminal(terminal))
	terminal.Close()
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	r.await("/", journal.Exit)
	r.endsWith(0)
	for _, e := range records(t, r.events.said.String()) {
		if e.Event == journal.Exit && e.Kind == "worker" && e.Signal != "TERM" {
			t.Errorf("Ctrl-C reached a child: %+v", e)
		}
	}
}

// When the window is closed, the tree ends in order.
func TestTheEndOfTheTerminalIsAnOrderToEnd(t *testing.T) {
	t.Parallel()
	master, terminal := openPty(t)
	r := boot(t, sleepers, onTerminal(terminal))
	terminal.Close()
	master.Close()
	r.await("/", journal.Exit)
	r.endsWith(0)
	for _, e := range records(t, r.events.said.String()) {
		if e.Event == journal.Exit && e.Kind == "worker" && e.Signal != "TERM" {
			t.Errorf("a child did not end in order: %+v", e)
		}
	}
}
