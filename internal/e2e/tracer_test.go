package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// deed is what happens to one life of a supervisor.
type deed struct {
	Fork int // counted from 1
	When moment
}

// moment is when a supervisor is killed at a fork. It cannot know then that it
// has a child: the kernel holds both.
type moment string

const (
	childFirst    moment = "the child goes on, then the KILL"
	killFirst     moment = "the child goes on when its supervisor is dead"
	childExecutes moment = "the child has just executed its command"
)

// mission is what an assassin is to do: to kill a supervisor exactly at its
// forks, one life after the other, until the plan is carried out and one more
// life has come, or the supervisor's parent has ended.
type mission struct {
	Above int    // the supervisor's parent
	Mark  string // in the supervisor's environment
	Tree  string // the mark of the tree's processes
	Plan  []deed // one a life

	Kill int    // the life that is not traced from its birth on; 0: none
	Open string // the pipe on whose other end the parent waits; "": none
}

// assassin traces the supervisor's parent and whatever that makes from its
// birth on. It is a process of its own: one that has children waits for them,
// too.
type assassin struct {
	mission
	known   map[int]bool // the threads that are traced
	parents map[int]int  // of a newborn that has not stopped yet: the thread that made it, which is held
	early   map[int]bool // newborns that are held, and whose parent has not told of them yet
	victim  int          // the supervisor's present life
	lives   int          // how many there were
	forks   int          // of the present life
	child   int          // the newborn that a KILL is about
	killed  bool         // the present life has met its deed
	faults  int
}

// statusNoTracing is the assassin's exit status where nothing can be traced.
const statusNoTracing = 3

// assassinate has a mission carried out, by a process of its own.
func (r *running) assassinate(m mission) {
	r.t.Helper()
	m.Tree = r.mark
	text, err := json.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv(envSelf), "play", "assassin", string(text))
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == statusNoTracing:
		r.t.Skipf("NOT RUN: %s needs to trace processes, and this machine does not allow it: %s", r.t.Name(), out)
	case err != nil:
		r.t.Errorf("killing the supervisor at its forks: %v\n%s", err, out)
	}
}

// playAssassin is that process.
func playAssassin(args []string) int {
	runtime.LockOSThread()
	a := assassin{known: map[int]bool{}, parents: map[int]int{}, early: map[int]bool{}}
	if err := json.Unmarshal([]byte(args[0]), &a.mission); err != nil {
		fmt.Println(err)
		return 2
	}
	err := a.trace()
	switch {
	case errors.Is(err, unix.EPERM):
		fmt.Println(err)
		return statusNoTracing
	case err != nil:
		a.fault("in life %d: %v", a.lives, err)
	case !a.killed && a.lives <= len(a.Plan):
		a.fault("life %d was over before its fork %d", a.lives, a.Plan[a.lives-1].Fork)
	}
	return min(a.faults, 1)
}

func (a *assassin) fault(format string, words ...any) {
	a.faults++
	fmt.Printf(format+"\n", words...)
}

// begin lets the story begin, once the parent is traced.
func (a *assassin) begin() error {
	if a.Kill != 0 {
		syscall.Kill(a.Kill, syscall.SIGKILL)
	}
	if a.Open == "" {
		return nil
	}
	return os.WriteFile(a.Open, []byte("\n"), 0o600)
}

const traced = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

func (a *assassin) trace() error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", a.Above))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(filepath.Base(thread))
		if errno := ptrace(unix.PTRACE_SEIZE, tid, traced); errno != 0 {
			return fmt.Errorf("seizing the thread %d: %w", tid, errno)
		}
		a.known[tid] = true
	}
	if err := a.begin(); err != nil {
		return err
	}
	for a.lives <= len(a.Plan) {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD && a.killed:
			return nil
		case err != nil:
			return fmt.Errorf("waiting for what is traced: %w", err)
		case status.Stopped():
			a.stopped(tid, status)
		default:
			a.ended(tid)
		}
	}
	return nil
}

// ptrace makes a request whose errors, but for the first, only say that the
// thread has been killed meanwhile.
func ptrace(request, tid int, data uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0)
	return errno
}

func resume(tid int) { ptrace(unix.PTRACE_CONT, tid, 0) }

func (a *assassin) letGo(tid int) {
	delete(a.known, tid)
	ptrace(unix.PTRACE_DETACH, tid, 0)
}

func (a *assassin) stopped(tid int, status unix.WaitStatus) {
	switch sig := status.StopSignal(); int(status) >> 16 {
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
		message, _ := unix.PtraceGetEventMsg(tid)
		if child := int(message); a.early[child] {
			delete(a.early, child)
			a.born(tid, child)
		} else {
			a.parents[child] = tid
		}
	case unix.PTRACE_EVENT_EXEC:
		a.executes(tid)
	case unix.PTRACE_EVENT_STOP:
		parent, told := a.parents[tid]
		switch {
		case told:
			delete(a.parents, tid)
			a.born(parent, tid)
		case !a.known[tid]:
			a.early[tid] = true
			a.letOrphansGo()
		case sig == unix.SIGTRAP:
			resume(tid)
		default:
			ptrace(unix.PTRACE_LISTEN, tid, 0)
		}
	default: // a signal, which goes its way
		ptrace(unix.PTRACE_CONT, tid, uintptr(sig))
	}
}

// born decides about a thread or process that is made, which is held as well
// as the thread that made it.
func (a *assassin) born(parent, child int) {
	a.known[child] = true
	defer resume(parent)
	process := group(parent)
	if group(child) == process || process != a.victim {
		resume(child) // a thread; or a process of which its exec will say who it is
		return
	}
	a.forks++
	deed := a.Plan[a.lives-1]
	switch {
	case a.forks != deed.Fork:
		a.letGo(child)
	case deed.When == childFirst:
		a.letGo(child)
		a.kill()
	case deed.When == killFirst:
		a.child = child
		a.kill()
	case deed.When == childExecutes:
		a.child = child
		resume(child)
	}
}

func (a *assassin) kill() {
	syscall.Kill(a.victim, syscall.SIGKILL)
	a.killed = true
}

// executes is told of each exec of what is traced.
func (a *assassin) executes(pid int) {
	switch {
	case pid == a.child:
		a.kill()
		a.child = 0
		a.letGo(pid)
	case pid == a.victim || pid == a.Above: // once more, of itself
		resume(pid)
	case a.carriesMark(pid):
		if a.lives > 0 && !a.killed {
			a.fault("life %d was over before its fork %d", a.lives, a.Plan[a.lives-1].Fork)
		}
		a.victim, a.forks, a.killed = pid, 0, false
		a.lives++
		a.nothingBeside()
		resume(pid)
	default:
		a.letGo(pid)
	}
}

// ended is told of the end of each traced thread, of a process's first one last.
func (a *assassin) ended(tid int) {
	delete(a.known, tid)
	delete(a.early, tid)
	if parent, held := a.parents[tid]; held { // killed before it had stopped
		delete(a.parents, tid)
		resume(parent)
	}
	if tid == a.victim {
		a.victim = 0
		a.letOrphansGo()
	}
}

// letOrphansGo lets those go whose supervisor is dead, and so will not tell of them.
func (a *assassin) letOrphansGo() {
	if a.victim != 0 {
		return
	}
	if a.child != 0 {
		a.letGo(a.child)
		a.child = 0
	}
	for tid := range a.early {
		if a.carriesMark(tid) { // what has executed nothing yet looks like its parent
			delete(a.early, tid)
			a.letGo(tid)
		}
	}
}

// carriesMark says whether a process is the supervisor, or has just been born of it.
func (a *assassin) carriesMark(pid int) bool {
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return bytes.Contains(append([]byte{0}, env...), []byte("\x00"+a.Mark+"\x00"))
}

// group is the process that a thread belongs to; 0 if it is gone.
func group(tid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range strings.Lines(string(status)) {
		if value, is := strings.CutPrefix(line, "Tgid:"); is {
			pid, _ := strconv.Atoi(strings.TrimSpace(value))
			return pid
		}
	}
	return 0
}

// nothingBeside checks that, of a supervisor and all that is below it, only the
// life is there that is about to begin.
func (a *assassin) nothingBeside() {
	for _, pid := range marked(a.Tree) {
		env, _ := os.ReadFile("/proc/" + pid + "/environ")
		if strings.Contains("\x00"+string(env), "\x00"+a.Mark) && pid != strconv.Itoa(a.victim) {
			words, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			a.fault("process %s, %q, is there when life %d begins; the deeds are %v", pid, words, a.lives, a.Plan)
		}
	}
}
