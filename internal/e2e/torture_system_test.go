package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// The system around the tree: pids that come again, PID 1.

// In a pid namespace whose next pid can be chosen, the pid of a dead child goes
// to a process that is none of its own. Whatever is then ordered about that
// child, the foreign process is not signalled.
func TestAPidThatComesAgainIsNeverSignalled(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare")
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = "echo pid $$; exec sleep 1000"
backoff = { kind = "constant", min = "1h", max = "1h" }
shutdown = "brutal_kill"
[[child]]
name = "other"
command = '''
mkfifo pid; exec 3<>pid; echo made; read pid <&3
until [ "$foreign" = "$pid" ]; do
  [ -n "$foreign" ] && kill $foreign
  echo $((pid-1)) > /proc/sys/kernel/ns_last_pid
  sleep 1000 & foreign=$!
done
echo foreign $foreign
while read word <&3; do kill -0 $foreign && echo lives $word || echo dead $word; done'''
`, level), under(asPid1...))
		r.stdout.says(t, "/other | made\n")
		r.await("/w", journal.Start, 1)
		first := r.node("/w").Pid
		r.does(0, "signal", "/w", "KILL")
		r.await("/w", journal.Backoff, 1)
		r.write("pid", fmt.Sprintf("%d\n", first))
		r.stdout.says(t, fmt.Sprintf("/other | foreign %d\n", first))

		r.ask("signal", "/w", "KILL").Run() // it waits for its next life, and has no process
		for _, order := range []string{"stop", "start", "restart", "stop", "status"} {
			r.write("pid", "before "+order+"\n")
			r.stdout.says(t, " before "+order+"\n")
			r.does(0, order, "/w")
		}
		if strings.Contains(r.stdout.String(), "/other | dead") {
			t.Errorf("an order for /w reached the process that has its old pid:\n%s", r.stdout)
		}
		r.does(0, "shutdown")
		r.endsWith(0)
	}
}

// As PID 1 the program gets every orphan of its container. It reaps them all,
// and the statuses of its own children are not lost among them. With TORTURE=1
// there are ten thousand.
func TestPid1AmongThousandsOfOrphans(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "unshare")
	orphans := 1000
	if long() {
		orphans = 10_000
	}
	r := boot(t, fmt.Sprintf(`
intensity = "infinity"
[[child]]
name = "seven"
command = "exit 7"
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "maker"
command = '''
i=0; while [ $i -lt %d ]; do (true & true &) ; i=$((i+2)); done
echo made; exec sleep 1000'''
[[child]]
name = "watch"
command = '''
until [ -e made ]; do sleep 0.01; done
until ! grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done
echo "no zombie is left"
exec sleep 1000'''
`, orphans), under(asPid1...))
	r.follow()
	r.stdout.says(t, "/maker | made\n")
	r.does(0, "stop", "/seven")
	r.await("/seven", journal.Down)
	r.write("made", "")
	r.stdout.says(t, "/watch | no zombie is left")
	lives := 0
	for _, e := range r.told("/seven", journal.Exit) {
		lives++
		if e.Reason == "abnormal" && (e.Status == nil || *e.Status != 7) {
			t.Errorf("a life of /seven ended with %+v", e)
		}
	}
	if lives < 10 {
		t.Errorf("/seven had only %d lives among the orphans", lives)
	}
	r.does(0, "shutdown")
	r.endsWith(0)
}

// A zombie that nobody will reap is no process that is left: a stop that may
// take for ever does not wait for it.
func TestAStopDoesNotWaitForZombies(t *testing.T) {
	t.Parallel()
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
containment = %q
[[child]]
name = "w"
command = '(exit 3) & echo $!; exec sleep 1000' # sleep never waits for what the shell began
shutdown = "infinity"
`, level))
		said := r.stdout.await(t, "the pid of the zombie", func(said string) bool { return strings.Contains(said, "\n") })
		zombie := strings.TrimSpace(strings.TrimPrefix(said, "/w | "))
		awaitDeath(t, zombie)
		r.does(0, "stop", "/w")
		if _, err := os.Stat("/proc/" + zombie); err == nil {
			t.Errorf("the zombie %s is still there after the stop", zombie)
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
	}
}
