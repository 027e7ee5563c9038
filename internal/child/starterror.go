package child

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// StartError says why a process could not be made, in one sentence that names
// the child, the key at fault and its place in the configuration:
//
//	starting /web/api: command "./api" (web.toml:12:13): no such file or directory
type StartError struct {
	Path  string // of the child
	Key   string // "command", "dir", "user", "group", "env_file", "umask"; "": the machine's fault
	Place string // "web.toml:12:13"; "" where it is not known
	What  string // what was being done: `command "./api"`
	Err   error  // the cause, mostly a syscall.Errno

	// Passing marks what passes by itself: a lack of descriptors, processes or
	// memory, or a binary that is just being written.
	Passing bool
}

func (e *StartError) Error() string {
	var b strings.Builder
	b.WriteString("starting " + e.Path + ": " + e.What)
	if e.Place != "" {
		b.WriteString(" (" + e.Place + ")")
	}
	b.WriteString(": " + e.Err.Error())
	return b.String()
}

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Err }

func (e *Engine) startError(s Spawn, key string, err error, what string) *StartError {
	se := &StartError{Path: s.Path, Key: key, What: what, Err: err, Passing: passing(err)}
	if key != "" && s.Process != nil {
		se.Place = s.Process.Places.Of(key)
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) { // its path is in What already
		se.Err = pathErr.Err
	}
	return se
}

func passing(err error) bool {
	for _, e := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ETXTBSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
