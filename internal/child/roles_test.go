package child

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// play is what the test binary does when it is started as somebody else.
func play(role string) {
	switch role {
	case "node":
		playNode(os.Getenv(envPath))
	case "root":
		playNode("/")
	case "sentinel":
		report := func(s string) { fmt.Println("sentinel:", s) }
		status, err := Sentinel(Root{Env: []string{"CHILD_TEST_ROLE=root"}, Containment: os.Getenv("CHILD_TEST_LEVEL"), Report: report})
		if err != nil {
			fmt.Println("sentinel:", err)
		}
		os.Exit(status)
	case "careless":
		playCareless()
	case "clean":
		playClean()
	case "starved":
		playStarved()
	case "jailed":
		playJailed()
	case "tracer":
		playTracer()
	default:
		panic("no such role: " + role)
	}
}

// check ends a role that cannot go on.
func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(99)
	}
}

// playNode is a supervisor with a plain worker, one that is deaf to TERM, one
// with a hidden descendant, and while CHILD_TEST_DEPTH lasts a node like
// itself. It stops them in order when descriptor 3 ends, or on TERM.
func playNode(path string) {
	events := make(chan os.Signal, 16)
	signal.Notify(events, syscall.SIGCHLD, syscall.SIGTERM)
	e, err := New(Options{Path: path, Containment: os.Getenv("CHILD_TEST_LEVEL")})
	check(err)
	prefix := path + "/"
	if path == "/" {
		prefix = "/"
	}
	if depth, _ := strconv.Atoi(os.Getenv("CHILD_TEST_DEPTH")); depth > 0 {
		var link [2]int
		check(unix.Pipe2(link[:], unix.O_CLOEXEC))
		_, err := e.Spawn(Spawn{
			Ref: ref("node", 1), Path: prefix + "node", Node: true, Files: []int{link[0]}, Stdout: 1, Stderr: 2,
			Env: []string{"CHILD_TEST_ROLE=node", "CHILD_TEST_DEPTH=" + strconv.Itoa(depth-1), "CHILD_TEST_LEVEL=" + os.Getenv("CHILD_TEST_LEVEL")},
		})
		check(err)
		unix.Close(link[0])
	}
	for id, script := range map[string]string{
		"plain":  `echo $$; exec sleep 1000`,
		"deaf":   `trap "" TERM; echo $$; sleep 1000 & echo $!; wait`,
		"hidden": `setsid sh -c 'trap "" TERM; echo $$; sleep 1000; :' & echo $!; wait`,
	} {
		_, err := e.Spawn(Spawn{Ref: ref(id, 1), Path: prefix + id, Process: &Process{Command: []string{"sh", "-c", script}}, Stdout: 1, Stderr: 2})
		check(err)
	}
	fmt.Println(os.Getpid())
	if os.Getenv("CHILD_TEST_DIE") == path {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	parentGone := make(chan struct{})
	go func() { unix.Read(3, make([]byte, 1)); close(parentGone) }()
	for stopping := false; ; {
		select {
		case sig := <-events:
			if sig == syscall.SIGTERM && !stopping {
				stopping = true
				stopAll(e)
			}
		case <-parentGone:
			parentGone, stopping = nil, true
			stopAll(e)
		case <-time.After(10 * time.Millisecond): // a deadline, coarsely
		}
		e.Reap(clock())
		if len(e.lives) == 0 {
			os.Exit(0)
		}
	}
}

func stopAll(e *Engine) {
	for ref := range e.lives {
		check(e.Terminate(clock(), ref, syscall.SIGTERM, 100*time.Millisecond))
	}
	for ref, l := range e.lives {
		if !l.node {
			check(e.Kill(clock(), ref))
		}
	}
}

// playCareless becomes a "clean" role that is started with signals blocked.
func playCareless() {
	var mask unix.Sigset_t
	for i := range mask.Val {
		mask.Val[i] = ^mask.Val[i]
	}
	check(unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil))
	check(os.Setenv("CHILD_TEST_ROLE", "clean"))
	check(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// playClean starts a child that shows what it was started with.
func playClean() {
	_, err := cleanStart()
	check(err)
	sigchld := make(chan os.Signal, 1)
	signal.Notify(sigchld, syscall.SIGCHLD)
	e, err := New(Options{})
	check(err)
	_, err = e.Spawn(Spawn{Ref: ref("a", 1), Path: "/a", Stdout: 1, Stderr: 2, Process: &Process{
		Command: []string{"sh", "-c", `grep -E "^Sig(Blk|Ign)" /proc/self/status; ls /proc/$$/fd; readlink /proc/$$/fd/0; ulimit -n; umask`},
	}})
	check(err)
	for {
		<-sigchld
		for _, ev := range e.Reap(clock()) {
			if x, is := ev.(Exited); is {
				if x.Status.ExitStatus() != 0 {
					check(errors.New("the child failed"))
				}
				os.Exit(0)
			}
		}
	}
}

// playTracer traces a process and never looks at it.
func playTracer() {
	pid, _ := strconv.Atoi(os.Getenv("CHILD_TEST_PID"))
	runtime.LockOSThread()
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		fmt.Println("tracing:", errno)
		return
	}
	fmt.Println("tracing")
	select {}
}

// playJailed becomes these tests below a seccomp filter like that of a
// container: no unshare, no pidfds, no clone3.
func playJailed() {
	runtime.LockOSThread()
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	filter := []unix.SockFilter{load(0)} // the number of the call
	for call, errno := range map[uint32]unix.Errno{
		unix.SYS_UNSHARE: unix.EPERM, unix.SYS_PIDFD_OPEN: unix.EPERM, unix.SYS_PIDFD_SEND_SIGNAL: unix.EPERM, unix.SYS_CLONE3: unix.ENOSYS,
	} {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
			answer(unix.SECCOMP_RET_ERRNO|uint32(errno)))
	}
	filter = append(filter, answer(unix.SECCOMP_RET_ALLOW))
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		check(errno)
	}
	check(os.Unsetenv("CHILD_TEST_ROLE"))
	check(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}
