package child

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/fork"
)

// cleanStart sees to it that what this process makes begins with default signal
// dispositions and an empty mask, whatever this process was started with
// (nohup, a careless parent). It is called before anything else.
//
// An ignored signal is handled from now on, because exec makes a handled one
// default again; the ignored ones are returned, so that this process can go on
// to ignore them in fact. A blocked one cannot be helped in place: the runtime
// gives every child the mask that it was started with. So the mask is emptied
// and the binary runs itself again, once, under the same pid; as it does where
// this process has more processors than it needs.
func cleanStart() (ignored []syscall.Signal, err error) {
	runtime.LockOSThread() // the mask is the thread's
	defer runtime.UnlockOSThread()
	blocked, err := emptyMask()
	if err != nil {
		return nil, fmt.Errorf("unblocking signals: %w", err)
	}
	_, again := os.LookupEnv(envWorkers)
	if again {
		nameAs(os.Args[0])
	}
	if blocked || !again && runtime.GOMAXPROCS(0) > nodeProcessors {
		env := overlay(os.Environ(), withProcessors(nodeProcessors, startedWith()))
		err := syscall.Exec("/proc/self/exe", os.Args, env)
		if blocked {
			return nil, fmt.Errorf("running this binary again with an empty signal mask: %w", err)
		}
	}
	for _, sig := range fork.IgnoredSignals() {
		ignored = append(ignored, sig)
		switch sig {
		case syscall.SIGHUP, syscall.SIGINT:
			signal.Notify(make(chan os.Signal, 1), sig) // the runtime leaves these two ignored
		default:
			if err := defaultAction(sig); err != nil {
				return nil, err
			}
		}
	}
	return ignored, nil
}

// nameAs makes ps and top show the name of a program, where the kernel says exe
// after the binary has executed itself.
func nameAs(program string) {
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(program)), 0)
}

// emptyMask unblocks every signal on this thread, and says whether any was blocked.
func emptyMask() (blocked bool, err error) {
	var empty, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &old); err != nil {
		return false, err
	}
	return old != empty, nil
}

// defaultAction gives a signal that Go does not handle its default action.
func defaultAction(sig syscall.Signal) error {
	_, err := swapAction(sig, &sigaction{})
	return err
}
