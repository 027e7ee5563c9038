package child

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkRestart is one restart: a spawn, its exit, the reaping. CHILD_BENCH
// names a program that ends at once (a static one shows the most); limit is the
// same with syscall.ForkExec alone, with the same protections and pipes.
func BenchmarkRestart(b *testing.B) {
	program := os.Getenv("CHILD_BENCH")
	if program == "" {
		program = "/bin/true"
	}
	for _, others := range []int{0, 100, 1000} {
		b.Run("limit/others="+strconv.Itoa(others), func(b *testing.B) { benchLimit(b, program, others) })
		for _, level := range []string{LevelBasic, LevelCgroup} {
			b.Run(level+"/others="+strconv.Itoa(others), func(b *testing.B) { benchEngine(b, program, others, level) })
		}
	}
}

func benchEngine(b *testing.B, program string, others int, level string) {
	b.ReportAllocs()
	e, err := New(Options{Containment: level})
	if err != nil {
		b.Log(err)
		return
	}
	defer e.Close()
	spawn := func(id string, n uint64, argv ...string) {
		s, err := e.Spawn(Spawn{Ref: ref(id, n), Path: "/" + id, Process: &Process{Command: argv}})
		if err != nil {
			b.Error(err)
		}
		if id == "a" {
			unix.Close(s.Stdout)
			unix.Close(s.Stderr)
			return
		}
		b.Cleanup(func() { unix.Close(s.Stdout); unix.Close(s.Stderr) })
	}
	for i := range others {
		spawn("o"+strconv.Itoa(i), 1, "/bin/sleep", "1000")
	}
	b.ResetTimer()
	cpu := cpuTime()
	argv := []string{program}
	for i := range b.N {
		spawn("a", uint64(i), argv...)
		for len(e.lives) > others {
			unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
			e.Reap(clock())
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-µs/op")
	for r := range e.lives {
		e.Kill(clock(), r)
	}
	for len(e.lives) > 0 {
		unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		e.Reap(clock())
	}
}

func benchLimit(b *testing.B, program string, others int) {
	b.ReportAllocs()
	null, _ := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	defer unix.Close(null)
	env := os.Environ()
	spawn := func(argv ...string) (pid, pidfd int, fds [2]int) {
		var out, errs [2]int
		unix.Pipe2(out[:], unix.O_CLOEXEC)
		unix.Pipe2(errs[:], unix.O_CLOEXEC)
		unix.SetNonblock(out[0], true)
		unix.SetNonblock(errs[0], true)
		pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
			Env: env, Files: []uintptr{uintptr(null), uintptr(out[1]), uintptr(errs[1])},
			Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
		})
		if err != nil {
			b.Error(err)
		}
		unix.Close(out[1])
		unix.Close(errs[1])
		return pid, pidfd, [2]int{out[0], errs[0]}
	}
	var pids []int
	for range others {
		pid, pidfd, fds := spawn("/bin/sleep", "1000")
		pids = append(pids, pid)
		b.Cleanup(func() { unix.Close(pidfd); unix.Close(fds[0]); unix.Close(fds[1]) })
	}
	b.ResetTimer()
	cpu := cpuTime()
	for range b.N {
		_, pidfd, fds := spawn(program)
		unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
		unix.Close(pidfd)
		unix.Close(fds[0])
		unix.Close(fds[1])
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-µs/op")
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
		syscall.Wait4(pid, nil, 0, nil)
	}
}

// cpuTime is what this process has computed, without its children, in µs: far
// steadier than the clock on a machine that does other things too.
func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
