// Package e2e tests the real program: the binary is built, run on real TOML
// with real processes, and seen only from the outside, as its users see it.
//
// Every tree has a directory and a socket of its own, every test waits for
// events and lines and never for time, and every tree must leave nothing: each
// process that it ever made carries a mark in its environment, and no process
// with that mark may be alive when the tree has ended.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It proves nothing; it
// only ends a test that would hang.
const patience = 2 * time.Minute

// The environment that every tree is given.
const (
	envMark     = "E2E_TREE" // unlike for every tree
	envProgram  = "E2E_SUPERVISE"
	envSelf     = "E2E_PLAY" // "$E2E_PLAY play ROLE" in a configuration
	raceLogStem = "race"
)

// program is the path of the built binary.
func program() string { return os.Getenv(envProgram) }

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "play" {
		os.Exit(play(os.Args[2], os.Args[3:]))
	}
	status, err := withProgram(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// withProgram builds the program, runs the tests, and looks for what the race
// detector found in it meanwhile.
func withProgram(tests func() int) (status int, err error) {
	dir, err := os.MkdirTemp("", "supervise-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some trees run as somebody else
		return 1, err
	}
	binary := filepath.Join(dir, "supervise")
	args, cgo := []string{"build", "-trimpath", "-o", binary}, "CGO_ENABLED=0"
	if raceEnabled {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	build := exec.Command("go", append(args, "../../cmd/supervise")...)
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	self, err := copySelf(dir)
	if err != nil {
		return 1, err
	}
	races := filepath.Join(dir, "races")
	for _, err := range []error{
		os.Mkdir(races, 0o777), os.Chmod(races, 0o777),
		os.Setenv(envProgram, binary), os.Setenv(envSelf, self),
		os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"), // where Debian has its servers
		os.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(races, raceLogStem)),
	} {
		if err != nil {
			return 1, err
		}
	}
	status = tests()
	return status, foundRaces(races)
}

// copySelf puts the test binary, which plays workers, where everybody may run it.
func copySelf(dir string) (string, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "player")
	return path, os.WriteFile(path, self, 0o755)
}

func foundRaces(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, raceLogStem+".*"))
	var errs []error
	for _, f := range files {
		text, _ := os.ReadFile(f)
		errs = append(errs, fmt.Errorf("the race detector said of the program:\n%s", text))
	}
	return errors.Join(append(errs, err)...)
}

// root skips nothing silently: a test that needs root says loudly that it did
// not run, and fails where it could have been expected to.
func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s needs root, and this is uid %d", t.Name(), os.Geteuid())
	}
	t.Skipf("NOT RUN: %s needs root, and this is uid %d", t.Name(), os.Geteuid())
}

// needs is like root for programs; in CI, where they are installed, it fails.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s needs %s, which `make needs` should have installed: %v", t.Name(), p, err)
			}
			t.Skipf("NOT RUN: %s needs %s, which `make needs` installs: %v", t.Name(), p, err)
		}
	}
}

// marked are the pids of all processes that carry a tree's mark.
func marked(mark string) (pids []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended, or is not ours to see
		}
		for _, kv := range strings.Split(string(text), "\x00") {
			if kv == envMark+"="+mark {
				pids = append(pids, filepath.Base(filepath.Dir(path)))
			}
		}
	}
	return pids
}
