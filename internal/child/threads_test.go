package child

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitThreadsEnd waits until a thread of this process is no more. The first one is kept.
func awaitThreadsEnd(t *testing.T, tid int) {
	t.Helper()
	for end := time.Now().Add(patience); tid != os.Getpid(); runtime.Gosched() {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("thread %d does not end", tid)
		}
	}
}

// A worker's parent-death signal comes with the end of the thread that made it, and Go ends
// the thread of a goroutine that was locked to it. Other threads may come and go.
func TestAWorkerDiesWithTheThreadThatMadeItAndWithNoOther(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `exec sleep 1000`)
		var short sync.WaitGroup
		threads := make(chan int, 50)
		for range cap(threads) {
			short.Go(func() {
				runtime.LockOSThread() // and ends with it
				threads <- unix.Gettid()
			})
		}
		short.Wait()
		close(threads)
		for tid := range threads {
			awaitThreadsEnd(t, tid)
		}
		if !alive(a.Pid) {
			t.Error("a worker died with a thread that had not made it")
		}

		var b *talk
		short.Go(func() {
			runtime.LockOSThread()
			b = start(t, e, Spawn{Ref: ref("b", 1)}, `exec sleep 1000`)
		})
		short.Wait()
		if x := await[Exited](t, e); x.Pid != b.Pid || x.Status.Signal() != syscall.SIGKILL || x.Order != Unordered {
			t.Errorf("when the thread ended that had made process %d: %+v", b.Pid, x)
		}
		if !alive(a.Pid) {
			t.Error("the other worker died too")
		}
	})
}
