package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/journal"
)

// open opens the gate of a tree that has one.
func (r *running) open() {
	r.t.Helper()
	r.stdout.says(r.t, "/gate | closed\n")
	r.write("gate", "open\n")
}

// With too few descriptors for its children a supervisor starts what it can,
// and the rest when it may.
func TestTwentyChildrenWithTwentyFourDescriptors(t *testing.T) {
	t.Parallel()
	r := launch(t, gate+sleeping(20))
	r.stdout.says(t, "/gate | closed\n")
	pid := rootOf(r)
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 24, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.stderr.says(t, "too many open files")
	if got := rootOf(r); got != pid { // and it answers meanwhile
		t.Errorf("the root is process %d, and was %d", got, pid)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	r.await("/", journal.Start)
	for i := range 20 {
		if n := r.node(fmt.Sprintf("/w%d", i)); n.State != journal.StateRunning {
			t.Errorf("/w%d is %v when there are descriptors again", i, n.State)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// The same with a full pids limit: a process that cannot be made is made later.
func TestAFullPidsLimit(t *testing.T) {
	t.Parallel()
	root(t)
	group := filepath.Join(pidsController(t), "e2e-"+filepath.Base(scratch(t)))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Rmdir(group) })
	limit := func(n string) {
		if err := os.WriteFile(group+"/pids.max", []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	limit("45") // the runtime's threads count too
	const toml = "containment = \"basic\"\n[defaults]\nbackoff = { kind = \"constant\", min = \"200ms\" }\n"
	r := launch(t, toml+sleeping(60), under("sh", "-c", `echo $$ > `+group+`/cgroup.procs; exec "$@"`, "sh"))
	r.stderr.says(t, "resource temporarily unavailable")
	limit("max")
	r.await("/", journal.Start)
	if n := r.node("/w59"); n.State != journal.StateRunning {
		t.Errorf("/w59 is %v when there may be processes again", n.State)
	}
	tried := map[string]time.Time{}
	for _, e := range r.history() {
		if e.Event != journal.Failed {
			continue
		}
		// By the wall clock, and a failure is told a little after its pause has begun.
		if since := e.Time.Sub(tried[e.Path]); since < 100*time.Millisecond {
			t.Errorf("%s was tried again after %v", e.Path, since)
		}
		tried[e.Path] = e.Time
	}
	if len(tried) == 0 {
		t.Error("no start is known to have failed")
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// pidsController is where the pids controller of this machine can be used.
func pidsController(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",pids,") {
			return f[1]
		}
		if f[2] == "cgroup2" {
			if use, _ := os.ReadFile(f[1] + "/cgroup.subtree_control"); strings.Contains(string(use), "pids") {
				return f[1]
			}
		}
	}
	t.Skipf("NOT RUN: %s needs the pids controller of cgroups, which this machine does not give", t.Name())
	return ""
}
