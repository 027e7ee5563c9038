package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// forking is a tree that makes processes at once and again and again.
const forking = `
containment = %q
[[child]]
name = "team"
intensity = "infinity"
backoff = { kind = "constant", min = "1ms" }
  [[child.child]]
  name = "steady"
  command = "setsid sleep 1000 & exec sleep 1000"
  [[child.child]]
  name = "inner"
    [[child.child.child]]
    name = "below"
    command = "sleep 1000 & exec sleep 1000"
  [[child.child]]
  name = "crash"
  command = "(setsid sleep 1000 &); sleep 1000 & exit 1"
  backoff = { kind = "constant", min = "1ms" }
  [[child.child]]
  name = "last"
  command = "exec sleep 1000"
`

// A supervisor is killed exactly when it has made a process and does not know
// it yet: at each of its first twenty forks, in each of three moments. Whenever
// its next life begins nothing of the earlier one is there, not even what was
// just born, and what comes is whole.
func TestASupervisorIsKilledBetweenAForkAndTheRecordOfIt(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			r := boot(t, fmt.Sprintf(forking, level))
			m := mission{Above: rootOf(r), Mark: "SUPERVISE_PATH=/team", Kill: r.node("/team").Pid}
			for fork := 1; fork <= 20; fork++ {
				for _, when := range []moment{childFirst, killFirst, childExecutes} {
					m.Plan = append(m.Plan, deed{fork, when})
				}
			}
			r.assassinate(m)

			r.reaches("/team", uint64(len(m.Plan)+2))
			for _, path := range []string{"/team/steady", "/team/inner/below", "/team/last"} {
				if n := r.node(path); n.State != journal.StateRunning {
					t.Errorf("%s is %v after %d lives of its supervisor", path, n.State, len(m.Plan))
				}
			}
			r.signal(syscall.SIGTERM)
			r.endsWith(0)
		})
	}
}

// waiting begins a program in a process that waits until it is traced. It is no
// child of the test's: that would wait for it, too.
const waiting = `sh -c 'mkfifo begin; echo $$ >&2; read word < begin; exec "$@"' sh "$@"; exit $?`

// The same of the root: nothing is left.
func TestTheRootIsKilledBetweenAForkAndTheRecordOfIt(t *testing.T) {
	t.Parallel()
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			for fork := 1; fork <= 5; fork++ {
				for _, when := range []moment{childFirst, killFirst, childExecutes} {
					r := launch(t, fmt.Sprintf("containment = %q\n", level)+sleeping(5), under("sh", "-c", waiting, "sh"))
					said := r.stderr.await(t, "the pid", func(said string) bool { return strings.HasSuffix(said, "\n") })
					pid, _ := strconv.Atoi(strings.TrimSpace(said))
					r.assassinate(mission{Above: pid, Mark: "SUPERVISE_NODE=1", Plan: []deed{{fork, when}}, Open: "begin"})
					r.endsWith(137) // and this looks for what is left
				}
			}
		})
	}
}
