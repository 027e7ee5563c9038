package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// reportOf waits for what the role "report" printed.
func (r *running) reportOf(path string) (got selfReport) {
	r.t.Helper()
	front := path + " | report "
	said := r.stdout.await(r.t, front, func(said string) bool {
		i := strings.Index(said, front)
		return i >= 0 && strings.Contains(said[i:], "\n")
	})
	line, _, _ := strings.Cut(said[strings.Index(said, front)+len(front):], "\n")
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		r.t.Fatalf("the report of %s: %v", path, err)
	}
	return got
}

func TestWhatAChildFinds(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "sub"
strategy = "one_for_one"
  [[child.child]]
  name = "report"
  command = "exec $E2E_PLAY play report"
`)
	r.reportOf("/sub/report")
	r.does(0, "restart", "/sub/report")
	r.stdout.saysTimes(t, "/sub/report | report ", 2)
	line := r.stdout.String()
	line = line[strings.LastIndex(line, "/sub/report | report ")+len("/sub/report | report "):]
	var got selfReport
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	for _, kv := range []string{"SUPERVISE_PATH=/sub/report", "SUPERVISE_INCARNATION=2", "SUPERVISE_SOCKET=" + r.socket} {
		if !slices.Contains(got.Env, kv) {
			t.Errorf("the environment lacks %s: %q", kv, got.Env)
		}
	}
	if len(got.Fds) != 3 || got.Stdin != "/dev/null" {
		t.Errorf("the descriptors are %v", got.Fds)
	}
	if got.Group != got.Pid {
		t.Errorf("process %d is in the group %d", got.Pid, got.Group)
	}
	if n := r.node("/sub/report"); n.Pid != got.Pid {
		t.Errorf("status says pid %d, and it is %d", n.Pid, got.Pid)
	}
}

func TestPsShowsWhatEachProcessIs(t *testing.T) {
	t.Parallel()
	r := boot(t, sleepers)
	for path, pid := range map[string]int{"/": rootOf(r), "/second": r.node("/second").Pid} {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if title, _, _ := strings.Cut(string(cmdline), "\x00"); string(comm) != "supervise\n" || title != "supervise: "+path {
			t.Errorf("ps shows %s as %q, %q", path, comm, cmdline)
		}
	}
	for _, e := range r.history() {
		if e.Event == journal.Spawn && e.Kind == "supervisor" && e.Pid == r.cmd.Process.Pid {
			t.Error("the sentinel is told of as the root")
		}
	}
}
