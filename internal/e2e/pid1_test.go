package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// asPid1 has the tree be the first process of new namespaces, as in a
// container. Outside, its parent is unshare.
var asPid1 = []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}

// signalInit sends a signal to the first process of a tree's namespace.
func (r *running) signalInit(sig syscall.Signal) {
	r.t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", r.cmd.Process.Pid, r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		r.t.Fatalf("unshare has the children %q", children)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		r.t.Fatal(err)
	}
}

func TestPid1ReapsOrphansAndEndsByTerm(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare", "setsid")
	r := boot(t, `
[[child]]
name = "shell"
command = '''
echo "the first process is $(cat /proc/1/comm)"
i=0
while [ $i -lt 20 ]; do (setsid true &); i=$((i+1)); done
exec sleep 1000
'''
[[child]]
name = "watch"
command = '''
while :; do
  zombies=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)
  [ "$zombies" -eq 0 ] && [ -d /proc/1 ] && break
done
echo "no zombie is left"
exec sleep 1000
'''
`, under(asPid1...))
	r.stdout.says(t, "/shell | the first process is supervise")
	r.stdout.says(t, "/watch | no zombie is left")
	r.signalInit(syscall.SIGHUP)
	r.stderr.says(t, "signal=HUP")
	r.signalInit(syscall.SIGTERM)
	r.await("/", journal.Exit)
	r.endsWith(0)
	if n := strings.Count(r.events.said.String(), `"event":"exit"`); n != 3 {
		t.Errorf("%d ends were told, of two workers and the root:\n%s", n, r.events.said)
	}
}

func TestPid1EndsWithTheStatusOfItsSignificantChild(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare")
	for command, status := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -SEGV $$": 139} {
		launch(t, fmt.Sprintf(`
auto_shutdown = "any_significant"
[[child]]
name = "app"
command = "%s"
restart = "temporary"
significant = true
`, command), under(asPid1...)).endsWith(status)
	}
}

// An orphan that does not end by itself goes with the tree.
func TestPid1LeavesNothing(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare", "setsid")
	r := boot(t, `
[[child]]
name = "daemon"
command = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' & exec sleep 1000"
shutdown = "1s"
`, under(asPid1...))
	r.does(0, "shutdown")
	r.endsWith(0)
}
