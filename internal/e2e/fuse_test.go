package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file system that does not answer: who asks it for a file is in an
// uninterruptible wait, as with a server of files that is gone, and survives
// every signal until it is told that there is no such file.

// The words of the kernel's FUSE protocol that are needed (linux/fuse.h).
const (
	fuseLookup    = 1
	fuseForget    = 2
	fuseInit      = 26
	fuseInterrupt = 36
	fuseForgets   = 42

	fuseInSize   = 40 // of the header of a request: length, opcode, unique, node, uid, gid, pid, …
	fuseOutSize  = 16 // of the header of an answer: length, error, unique
	fuseInitSize = 64
	fuseBuffer   = 64 << 10

	mostHeld = 64 // who asks beyond that is told that there is no such file
)

// deadServer is that file system.
type deadServer struct {
	t   *testing.T
	dir string
	fd  int

	asked chan int // the pids of those who wait

	mu    sync.Mutex
	held  []uint64 // the requests that have no answer
	alive bool     // it answers again
}

// mountDead mounts a server of files that does not answer.
func mountDead(t *testing.T) *deadServer {
	t.Helper()
	root(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("NOT RUN: %s needs FUSE, which this machine does not give: %v", t.Name(), err)
	}
	f := &deadServer{t: t, fd: fd, dir: filepath.Join(scratch(t), "dead"), asked: make(chan int, mostHeld)}
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("dead", f.dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		t.Skipf("NOT RUN: %s needs to mount FUSE, which this machine does not allow: %v", t.Name(), err)
	}
	served := make(chan struct{})
	go func() { defer close(served); f.serve() }()
	t.Cleanup(func() {
		f.answer()
		unix.Unmount(f.dir, unix.MNT_DETACH)
		<-served
		unix.Close(fd)
	})
	return f
}

// serve reads what the kernel asks, until it is unmounted.
func (f *deadServer) serve() {
	buffer := make([]byte, fuseBuffer)
	for {
		n, err := unix.Read(f.fd, buffer)
		switch {
		case err == unix.EINTR, err == unix.ENOENT: // ENOENT: who asked is gone
			continue
		case err != nil || n < fuseInSize:
			return
		}
		opcode, unique := binary.NativeEndian.Uint32(buffer[4:]), binary.NativeEndian.Uint64(buffer[8:])
		switch opcode {
		case fuseInit:
			answer := make([]byte, fuseInitSize)
			binary.NativeEndian.PutUint32(answer, 7) // the protocol's version, 7.31
			binary.NativeEndian.PutUint32(answer[4:], 31)
			binary.NativeEndian.PutUint32(answer[20:], 4096) // the longest write
			f.send(unique, 0, answer)
		case fuseLookup:
			f.hold(unique, int(binary.NativeEndian.Uint32(buffer[32:])))
		case fuseForget, fuseForgets, fuseInterrupt: // these have no answer
		default:
			f.send(unique, unix.ENOSYS, nil)
		}
	}
}

func (f *deadServer) send(unique uint64, errno unix.Errno, body []byte) {
	answer := binary.NativeEndian.AppendUint32(nil, uint32(fuseOutSize+len(body)))
	answer = binary.NativeEndian.AppendUint32(answer, uint32(-int32(errno)))
	answer = append(binary.NativeEndian.AppendUint64(answer, unique), body...)
	unix.Write(f.fd, answer)
}

// hold keeps whoever asks for a file waiting.
func (f *deadServer) hold(unique uint64, pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.alive || len(f.held) == mostHeld {
		f.send(unique, unix.ENOENT, nil)
		return
	}
	f.held = append(f.held, unique)
	f.asked <- pid
}

// holds waits until a process waits for the server, and is its pid.
func (f *deadServer) holds() (pid int) {
	f.t.Helper()
	select {
	case pid = <-f.asked:
	case <-time.After(patience):
		f.t.Fatal("nobody asks the server of files")
	}
	return pid
}

// answer lets everybody go, and holds nobody any more.
func (f *deadServer) answer() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive = true
	for _, unique := range f.held {
		f.send(unique, unix.ENOENT, nil)
	}
	f.held = nil
}
