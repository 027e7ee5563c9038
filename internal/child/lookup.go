package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/fork"
)

// lookUp finds a command as execvp does, at every start, because binaries come
// and go. A name with a slash is taken as it is; entries of PATH that are not
// absolute are passed over.
func lookUp(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	var denied error
	for dir := range strings.SplitSeq(path, ":") {
		if !strings.HasPrefix(dir, "/") {
			continue
		}
		file := dir + "/" + name
		err := unix.Access(file, unix.X_OK)
		if err == nil {
			var st syscall.Stat_t
			if syscall.Stat(file, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG {
				return file, nil
			}
		} else if err == unix.EACCES {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", errNotInPath
}

var errNotInPath = fmt.Errorf("%w in PATH", error(syscall.ENOENT))

// diagnose says which key is to blame for a start that failed.
func (e *Engine) diagnose(s Spawn, c *fork.Command, err error) *StartError {
	var failed *fork.Error
	if errors.As(err, &failed) {
		err = failed.Err // its step is said in words
	}
	switch {
	case s.Node:
		return e.startError(s, "", err, "running this binary again")
	case failed == nil || passing(err) && err != syscall.ETXTBSY:
		return e.startError(s, "", err, "making a process")
	case failed.Step == fork.StepDir:
		return e.startError(s, "dir", err, fmt.Sprintf("dir %q", c.Dir))
	case failed.Step == fork.StepCredential:
		return e.startError(s, userKey(s.Process), err, fmt.Sprintf("becoming %s", describe(s.Process)))
	case failed.Step != fork.StepExec:
		return e.startError(s, "", err, "making a process ("+failed.Step+")")
	}
	what := fmt.Sprintf("command %q", s.Process.Command[0])
	if err == syscall.ENOENT {
		if _, there := os.Stat(c.Path); there == nil {
			what += " is there, but not the interpreter that it names"
		}
	}
	return e.startError(s, "command", err, what)
}
