package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/supertrees/supervise/proc"
)

// play is this test binary as a worker: "$E2E_PLAY play ROLE" in a
// configuration.
func play(role string, args []string) int {
	switch role {
	case "server":
		proc.Main(server)
	case "molter":
		proc.Main(molter)
	case "watcher":
		proc.Main(watcher)
	case "circle":
		proc.Main(next)
	case "crowd":
		proc.Main(crowd)
	case "report":
		return report()
	case "stubborn":
		return stubborn()
	case "assassin":
		return playAssassin(args)
	case "forks":
		return forks(args)
	case "whole":
		return longLine(args)
	}
	fmt.Fprintln(os.Stderr, "there is no role", role)
	return 2
}

// selfReport is what a worker finds itself to be.
type selfReport struct {
	Pid      int
	Env      []string
	Dir      string
	UID, GID int
	Groups   []int
	Umask    string
	Fds      map[string]string
	Blocked  string
	Ignored  string
	Group    int // its process group
	Stdin    string
	Args     []string
}

// report prints what this process is, and waits for its end.
func report() int {
	dir, _ := os.Getwd()
	groups, _ := os.Getgroups()
	r := selfReport{
		Pid: os.Getpid(), Env: os.Environ(), Dir: dir, UID: os.Getuid(), GID: os.Getgid(), Groups: groups,
		Fds: map[string]string{}, Group: syscall.Getpgrp(), Args: os.Args,
		Umask: field("Umask"), Blocked: field("SigBlk"), Ignored: field("SigIgn"),
	}
	r.Stdin, _ = os.Readlink("/proc/self/fd/0")
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		// What the runtime opens for itself, and the directory that Glob had
		// open, are not inherited.
		to, err := os.Readlink(fd)
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			r.Fds[filepath.Base(fd)] = to
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return 1
	}
	fmt.Println("report", string(text))
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return 0
}

// field is a line of /proc/thread-self/status, as this process was started.
func field(name string) string {
	status, _ := os.ReadFile("/proc/thread-self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// stubborn hears every order to stop and does not follow it.
func stubborn() int {
	orders := make(chan os.Signal, 16)
	signal.Notify(orders, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("nothing stops me")
	for s := range orders {
		fmt.Println("heard", s)
	}
	return 0
}

// longPiece is how many bytes longLine prints at once.
const longPiece = 512 << 10

// longLine prints so many MB without a newline, and a little more behind it. It
// goes on when it is told, by the pipe "go", that the last piece has come.
func longLine(args []string) int {
	megabytes, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	if err := syscall.Mkfifo("go", 0o600); err != nil {
		return 1
	}
	words, err := os.OpenFile("go", os.O_RDWR, 0) // so that a word waits for its reader
	if err != nil {
		return 1
	}
	piece := strings.Repeat("x", longPiece)
	for range megabytes << 20 / longPiece {
		if _, err := os.Stdout.WriteString(piece); err != nil {
			return 1
		}
		if _, err := words.Read(make([]byte, 1)); err != nil {
			return 1
		}
	}
	fmt.Print("\nand the end")
	return 0
}

// forks makes and kills so many processes, as plainly as Go can, and prints the
// processor time that it took.
func forks(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	for range n {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 1
	}
	fmt.Println(time.Duration(used.Utime.Nano() + used.Stime.Nano()))
	return 0
}
