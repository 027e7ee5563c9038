package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
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

// diagnose says which key is to blame for a fork or exec that failed: the
// kernel gives one errno for all that happens between fork and exec.
func (e *Engine) diagnose(s Spawn, c *command, err error) *StartError {
	if s.Node {
		return e.startError(s, "", err, "running this binary again")
	}
	if passing(err) && !errors.Is(err, syscall.ETXTBSY) {
		return e.startError(s, "", err, "making a process")
	}
	if dir := s.Process.Dir; dir != "" && e.dirAtFault(c, err) {
		return e.startError(s, "dir", err, fmt.Sprintf("dir %q", dir))
	}
	if cred := c.sys.Credential; cred != nil && errors.Is(err, syscall.EPERM) && os.Geteuid() != 0 {
		return e.startError(s, userKey(s.Process), err, fmt.Sprintf("becoming %s", describe(s.Process)))
	}
	what := fmt.Sprintf("command %q", s.Process.Command[0])
	if errors.Is(err, syscall.ENOENT) {
		if _, there := os.Stat(c.path); there == nil {
			what += " is there, but not the interpreter that it names"
		}
	}
	return e.startError(s, "command", err, what)
}

// dirAtFault tells a directory that cannot be entered from a command that
// cannot be run. Where the errno fits both, an exec of nothing, which ends in
// ENOENT if the directory could be entered, decides.
func (e *Engine) dirAtFault(c *command, err error) bool {
	st, statErr := os.Stat(c.attr.Dir)
	if statErr != nil || !st.IsDir() {
		return true
	}
	if !errors.Is(err, syscall.EACCES) {
		return false
	}
	probe := *c
	probe.path, probe.files, probe.sys.UseCgroupFD = "", []int{-1}, false
	_, err = e.spawner.fork(&probe)
	return errors.Is(err, syscall.EACCES)
}
