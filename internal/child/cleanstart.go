package child

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cleanStart sees to it that what this process makes begins with default signal
// dispositions and an empty mask, whatever this process was started with
// (nohup, a careless parent). It is called before anything else.
//
// An ignored signal is handled from now on, because exec makes a handled one
// default again; the ignored ones are returned, so that this process can go on
// to ignore them in fact. A blocked one cannot be helped in place: the runtime
// gives every child the mask that it was started with. So the mask is emptied
// and the binary runs itself again, once, under the same pid.
func cleanStart() (ignored []syscall.Signal, err error) {
	runtime.LockOSThread() // the mask is the thread's
	defer runtime.UnlockOSThread()
	blocked, err := emptyMask()
	if err != nil {
		return nil, fmt.Errorf("unblocking signals: %w", err)
	}
	if blocked {
		err := syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		return nil, fmt.Errorf("running this binary again with an empty signal mask: %w", err)
	}
	for _, sig := range ignoredSignals() {
		ignored = append(ignored, sig)
		switch sig {
		case syscall.SIGHUP, syscall.SIGINT:
			signal.Notify(make(chan os.Signal, 1), sig) // the runtime leaves these two ignored
		default:
			if err := defaultAction(sig); err != nil {
				return nil, fmt.Errorf("giving %s its default action: %w", SignalName(sig), err)
			}
		}
	}
	return ignored, nil
}

// emptyMask unblocks every signal on this thread, and says whether any was blocked.
func emptyMask() (blocked bool, err error) {
	var empty, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &old); err != nil {
		return false, err
	}
	return old != empty, nil
}

// ignoredSignals reads which signals this process ignores.
func ignoredSignals() []syscall.Signal {
	status, _ := os.ReadFile("/proc/self/status")
	var ignored []syscall.Signal
	for line := range strings.Lines(string(status)) {
		hex, ok := strings.CutPrefix(line, "SigIgn:")
		if !ok {
			continue
		}
		mask, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			if mask&(1<<(sig-1)) != 0 {
				ignored = append(ignored, sig)
			}
		}
	}
	return ignored
}

// defaultAction gives a signal that Go does not handle its default action.
func defaultAction(sig syscall.Signal) error {
	var action [8]uint64 // the kernel's sigaction, all zero: SIG_DFL on every Linux
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
