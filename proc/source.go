package proc

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// source is the reading end of a pipe. It is for one reader at a time.
type source struct {
	raw syscall.RawConn

	// One read, here and not in a closure of its own, as in pipe.
	once func(fd uintptr) bool
	b    []byte
	n    int
	err  error

	spin     spin
	together bool      // the other end works on this core: it was there after others had it
	waits    time.Time // since when; zero: it does not
	waited   time.Time // when it last had
}

// readerOf is r, as a source if it is a pipe that does not block.
func readerOf(r io.Reader) io.Reader {
	f, raw := unblocking(r, syscall.O_RDONLY)
	if f == nil {
		return r
	}
	s := &source{raw: raw}
	s.once = s.look
	return s
}

// Read reads what is there, and waits if that is nothing.
func (s *source) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.b = b
	err = s.raw.Read(s.once)
	s.b = nil
	if err == nil {
		err = s.err
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the channel: %w", err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// look reads if there is something or if something comes while it spins. False:
// the pipe has to be waited for. With one processor it waits now and then all the
// same: only then does the runtime look after the program's other descriptors.
func (s *source) look(fd uintptr) bool {
	if !s.waits.IsZero() {
		s.waited = time.Now()
		s.spin.waited(s.waited, s.waited.Sub(s.waits))
		s.waits = time.Time{}
	}
	if s.try(fd) {
		return true
	}
	now := time.Now()
	if s.spin.on {
		alone := runtime.GOMAXPROCS(0) == 1
		if !(alone && now.Sub(s.waited) > spinStretch) && s.keepLooking(fd, now, alone) {
			return true
		}
		now = time.Now()
	}
	s.waits = now
	return false
}

// keepLooking spins. If this program has one processor, its other goroutines have
// their turn between two looks.
func (s *source) keepLooking(fd uintptr, begun time.Time, alone bool) (found bool) {
	var spent time.Duration
	for i := 1; ; i++ {
		if alone {
			runtime.Gosched()
		}
		if s.together || spent > spinAlone {
			before := spent
			_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
			found, spent = s.tryAgain(fd), time.Since(begun)
			s.together = found && spent-before > spinTaken
		} else if found = s.tryAgain(fd); found || i%spinLooks == 0 {
			spent = time.Since(begun)
		}
		switch {
		case found:
			s.spin.found(begun.Add(spent), spent)
			return true
		case spent > spinMost:
			s.spin.missed(begun.Add(spent), spent)
			return false
		}
	}
}

// try reads once.
func (s *source) try(fd uintptr) bool {
	n, err := syscall.Read(int(fd), s.b)
	return s.read(n, err)
}

// tryAgain is try without a word to the runtime, which would want to know of a
// read that waits. It is for a spin: the read before it has shown that this one
// does not.
func (s *source) tryAgain(fd uintptr) bool {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.b))), uintptr(len(s.b)))
	if errno != 0 {
		return s.read(0, errno)
	}
	return s.read(int(n), nil)
}

// read takes the outcome of a read; false: there was nothing.
func (s *source) read(n int, err error) bool {
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return false
	}
	s.n, s.err = max(n, 0), err
	return true
}

// unblocking is v as a pipe's end that does not block, or nil.
func unblocking(v any, mode int) (*os.File, syscall.RawConn) {
	f, ok := v.(*os.File)
	if !ok {
		return nil, nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, nil
	}
	blocks := true
	_ = raw.Control(func(fd uintptr) { // a closed file stays what it is, and says so when it is used
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		blocks = errno != 0 || flags&syscall.O_NONBLOCK == 0 || isPipe(int(fd), mode) != nil
	})
	if blocks {
		return nil, nil
	}
	return f, raw
}
