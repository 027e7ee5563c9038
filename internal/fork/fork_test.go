package fork

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// each runs a body with every way to make a process that there is.
func each(t *testing.T, body func(t *testing.T, f *Forker)) {
	for _, way := range []string{"clone3", "clone", "whole table"} {
		t.Run(way, func(t *testing.T) {
			f, err := New()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.copies {
				t.Fatal("this kernel has no close_range(2), or the slots are taken")
			}
			if way == "whole table" {
				f.Close()
				f.devNull, _ = syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
				f.copies = true
			}
			f.classic = way == "clone"
			body(t, f)
			if f.classic != (way == "clone") {
				t.Error("it fell back to clone")
			}
		})
	}
}

// output runs a command and returns what it prints.
func output(t *testing.T, f *Forker, c Command) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Files = append([]int{f.devNull, int(w.Fd()), 2}, c.Files...)
	p, err := f.Start(&c)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	end(t, p)
	return string(text)
}

// end waits for a process.
func end(t *testing.T, p Process) syscall.WaitStatus {
	t.Helper()
	defer syscall.Close(p.Pidfd)
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(p.Pid, &ws, 0, nil); pid != p.Pid {
		t.Fatalf("waiting for %d: %d, %v", p.Pid, pid, err)
	}
	return ws
}

func sh(script string) Command {
	return Command{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Env: []string{"A=b c", "PATH=/bin:/usr/bin"}}
}

func TestAChildGetsWhatItIsToBe(t *testing.T) {
	each(t, func(t *testing.T, f *Forker) {
		c := sh(`echo "$0 $# $1 $A $PWD"; umask`)
		c.Argv = append(c.Argv, "zero", "one")
		c.Dir, c.Umask = "/usr", new(uint32)
		*c.Umask = 0o31
		lines := strings.Split(output(t, f, c), "\n")
		if lines[0] != "zero 1 one b c /usr" || lines[1] != "0031" {
			t.Errorf("it printed %q", lines)
		}
	})
}

func TestAFailureNamesItsStep(t *testing.T) {
	each(t, func(t *testing.T, f *Forker) {
		for _, c := range []struct {
			spoil func(c *Command)
			step  string
			err   syscall.Errno
		}{
			{func(c *Command) { c.Path = "/no/such" }, StepExec, syscall.ENOENT},
			{func(c *Command) { c.Path = "/etc/passwd" }, StepExec, syscall.EACCES},
			{func(c *Command) { c.Dir = "/no/such" }, StepDir, syscall.ENOENT},
			{func(c *Command) { c.Files = []int{-1, 9999} }, StepFiles, syscall.EBADF},
			{func(c *Command) { c.Argv = []string{"a\x00b"} }, StepExec, syscall.EINVAL},
			{func(c *Command) { c.Files = make([]int, FilesBound+1) }, StepFiles, syscall.E2BIG},
		} {
			bad := sh("true")
			c.spoil(&bad)
			_, err := f.Start(&bad)
			var e *Error
			if !errors.As(err, &e) || e.Step != c.step || e.Err != c.err {
				t.Errorf("got %v, want %s: %v", err, c.step, c.err)
			}
		}
		if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
			t.Errorf("a child is left: %v", err)
		}
	})
}

func TestAChildHasItsOwnDescriptorsAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, f *Forker) {
		leak, err := syscall.Open("/etc/passwd", syscall.O_RDONLY, 0) // without O_CLOEXEC
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(leak)
		r, w, _ := os.Pipe()
		defer r.Close()
		defer w.Close()
		c := sh(`ls -l /proc/$$/fd; true`) // no pipeline: its pipes would be the shell's own for a moment
		c.Files = []int{-1, int(r.Fd()), 0}
		c.Files[2] = c.Files[1]
		listing := output(t, f, c)
		var numbers, targets []string
		for line := range strings.Lines(listing) {
			if link, target, ok := strings.Cut(strings.TrimSpace(line), " -> "); ok {
				numbers = append(numbers, link[strings.LastIndex(link, " ")+1:])
				targets = append(targets, target)
			}
		}
		given, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(numbers, []string{"0", "1", "2", "4", "5"}) || targets[3] != given || targets[4] != given {
			t.Errorf("it has, where 4 and 5 are to be %s:\n%s", given, listing)
		}
	})
}

func TestAChildBeginsWithDefaultSignals(t *testing.T) {
	signal.Ignore(syscall.SIGUSR1)
	defer signal.Reset(syscall.SIGUSR1)
	each(t, func(t *testing.T, f *Forker) {
		got := output(t, f, Command{Path: "/bin/sed", Argv: []string{"sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"}})
		want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
		if got != want {
			t.Errorf("it begins with\n%s", got)
		}
		var mask unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask); err != nil || mask != (unix.Sigset_t{}) {
			t.Errorf("its maker's mask is %v afterwards, %v", mask, err)
		}
	})
}

// The limit of open files is the one that this process was started with, not
// the one that package syscall has raised.
func TestAChildHasTheLimitOfOpenFilesOfTheStart(t *testing.T) {
	const role = "FORK_TEST_LIMIT"
	if os.Getenv(role) == "" {
		cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 123; exec "$0" -test.run '^TestAChildHasTheLimit' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), role+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	each(t, func(t *testing.T, f *Forker) {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == 123 {
			t.Fatalf("package syscall has not raised the limit: %v, %v", limit, err)
		}
		if got := output(t, f, sh(`ulimit -Sn`)); got != "123\n" {
			t.Errorf("its limit is %q", got)
		}
	})
}

func TestAnyOrderOfDescriptorsIsKept(t *testing.T) {
	each(t, func(t *testing.T, f *Forker) {
		pipes := [3][2]int{}
		for i := range pipes {
			if err := syscall.Pipe2(pipes[i][:], syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(pipes[i][0])
			defer syscall.Close(pipes[i][1])
		}
		c := sh(`printf a >&3; printf b >&4; printf c >&5`)
		c.Files = []int{pipes[2][1], pipes[0][1], pipes[1][1]}
		output(t, f, c)
		for i, want := range []string{2: "a", 0: "b", 1: "c"} {
			var got [2]byte
			if n, err := syscall.Read(pipes[i][0], got[:]); err != nil || string(got[:n]) != want {
				t.Errorf("pipe %d has %q, %v; want %q", i, got[:n], err, want)
			}
		}
	})
}
