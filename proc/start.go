package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// channelVariable names the two descriptors of the channel: "R,W", to read
// from and to write to.
const channelVariable = "SUPERVISE_CHANNEL"

// inherited is what the environment says about a channel. It is taken before
// main runs, so that no child of this process inherits the pipes or believes
// that they are its own.
var inherited = takeInherited()

type inheritedPipes struct {
	r, w int
	left *slough // what an old image left; nil in the first
	err  error   // ErrNotSupervised: there is none
}

func takeInherited() inheritedPipes {
	v, ok := os.LookupEnv(channelVariable)
	if !ok {
		return inheritedPipes{err: ErrNotSupervised}
	}
	os.Unsetenv(channelVariable)
	from, to, _ := strings.Cut(v, ",")
	r, errR := strconv.Atoi(from)
	w, errW := strconv.Atoi(to)
	if errR != nil || errW != nil {
		return inheritedPipes{err: fmt.Errorf("%w: reading %s=%q: not two descriptors", ErrNotSupervised, channelVariable, v)}
	}
	for _, end := range []struct{ fd, mode int }{{r, syscall.O_RDONLY}, {w, syscall.O_WRONLY}} {
		if err := isPipe(end.fd, end.mode); err != nil {
			return inheritedPipes{err: fmt.Errorf("%w: taking descriptor %d of %s=%s: %w", ErrNotSupervised, end.fd, channelVariable, v, err)}
		}
	}
	syscall.CloseOnExec(r)
	syscall.CloseOnExec(w)
	left, err := takeSlough()
	return inheritedPipes{r: r, w: w, left: left, err: err}
}

var errNoPipe = errors.New("not a pipe of the right direction")

// isPipe says why fd is no pipe to read from, or to write to. A variable that
// leaked into a grandchild may name anything.
func isPipe(fd, mode int) error {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return err
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno != 0 {
		return errno
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFIFO || int(flags)&syscall.O_ACCMODE != mode {
		return errNoPipe
	}
	return nil
}

// own is the server of the process's own channel. Its reader starts when it is
// first asked for.
var own = sync.OnceValues(func() (*Server, error) {
	if inherited.err != nil {
		return nil, inherited.err
	}
	for _, fd := range []int{inherited.r, inherited.w} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("opening the channel: %w", err)
		}
	}
	r, w := os.NewFile(uintptr(inherited.r), "channel, from the node"), os.NewFile(uintptr(inherited.w), "channel, to the node")
	return newServer(r, w, inherited.left), nil
})
