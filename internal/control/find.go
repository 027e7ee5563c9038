package control

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// directories are where sockets live when nothing else is said, best first.
func directories(getenv func(string) string) []string {
	var dirs []string
	first, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":") // systemd may name several
	for _, dir := range []string{first, getenv("XDG_RUNTIME_DIR"), "/run"} {
		if dir != "" {
			dirs = append(dirs, filepath.Join(dir, "supervise"))
		}
	}
	return dirs
}

// Claim takes the control socket of a new tree: where flag says, else
// SUPERVISE_SOCKET, else where the configuration says, else NAME.sock in the
// runtime directory. A root inside another tree (it has SUPERVISE_PATH) leaves
// SUPERVISE_SOCKET alone, because that is the outer tree's. An error is ErrRuns
// or why no socket can be there; chosen says that the place was, so that a tree
// without a socket is not what its owner wants.
func Claim(flag, config, name string, getenv func(string) string) (l *Listener, chosen bool, err error) {
	env := getenv("SUPERVISE_SOCKET")
	if getenv("SUPERVISE_PATH") != "" {
		env = ""
	}
	if path := cmp.Or(flag, env, config); path != "" {
		if path, err = filepath.Abs(path); err != nil {
			return nil, true, fmt.Errorf("finding the control socket: %w", err)
		}
		l, err = Listen(path)
		return l, true, err
	}
	var errs []error
	for _, dir := range directories(getenv) {
		l, err := Listen(filepath.Join(dir, name+".sock"))
		if err == nil || errors.Is(err, ErrRuns) {
			return l, false, err
		}
		errs = append(errs, err)
	}
	return nil, false, errors.Join(errs...)
}

// ErrWhich says that a client was not told which tree is meant, and there is
// not just one.
var ErrWhich = errors.New("which tree is meant")

// ErrNone is an ErrWhich of a client that has found no tree at all.
var ErrNone = fmt.Errorf("%w: none answers", ErrWhich)

// Find is the socket that a client means: what flag says, else
// SUPERVISE_SOCKET, else config, else the only one that answers in the runtime
// directories.
func Find(flag, config string, getenv func(string) string) (string, error) {
	if path := cmp.Or(flag, getenv("SUPERVISE_SOCKET"), config); path != "" {
		return path, nil
	}
	var live []string
	for _, dir := range directories(getenv) {
		sockets, _ := filepath.Glob(filepath.Join(dir, "*.sock")) // the pattern is good
		for _, path := range sockets {
			if answers(path) {
				live = append(live, path)
			}
		}
	}
	switch len(live) {
	case 0:
		return "", fmt.Errorf("finding %w under %s; name its socket with -socket", ErrNone, strings.Join(directories(getenv), ", "))
	case 1:
		return live[0], nil
	}
	return "", fmt.Errorf("finding %w: several answer, so name one with -socket: %s", ErrWhich, strings.Join(live, ", "))
}

// Default is where a tree of that name has its socket if its file says nothing.
func Default(name string, getenv func(string) string) string {
	for _, dir := range directories(getenv) {
		path := filepath.Join(dir, name+".sock")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return filepath.Join(directories(getenv)[0], name+".sock")
}
