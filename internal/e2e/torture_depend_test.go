package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// Dependencies, as people have them: the order of the file, a proof of
// readiness, and rest_for_one.

// order is what happened to some paths, in the order in which it happened.
func (r *running) order(events string, paths ...string) (all []string) {
	said := r.events.said.String()
	for _, rec := range records(r.t, said[:strings.LastIndexByte(said, '\n')+1]) {
		for _, path := range paths {
			if rec.Path == path && strings.Contains(events, rec.Event) {
				all = append(all, fmt.Sprintf("%s %s %d", rec.Event, path, rec.Incarnation))
			}
		}
	}
	return all
}

// A database dies, and its next starts fail before they are ready. Who needs it
// waits, at once and without a timeout, and starts when it is there: nobody has
// to help.
func TestDependentsWaitForADependencyThatFailsAndRecovers(t *testing.T) {
	t.Parallel()
	r := boot(t, `
strategy = "rest_for_one"
[[child]]
name = "db"
command = '''
n=$SUPERVISE_INCARNATION
[ $n -ge 2 ] && [ $n -le 6 ] && exit 1
echo ready; exec sleep 1000'''
ready = { log = "^ready$" }
start_timeout = "1h"
backoff = { kind = "constant", min = "5ms" }
[[child]]
name = "web"
command = "exec sleep 1000"
[[child]]
name = "proxy"
command = "exec sleep 1000"
`)
	syscall.Kill(r.await("/db", journal.Start, 1).Pid, syscall.SIGKILL)
	r.await("/proxy", journal.Start, 2)
	want := `exit /db 1; exit /proxy 1; exit /web 1; start_error /db 2; start_error /db 3; start_error /db 4;` +
		` start_error /db 5; start_error /db 6; start /db 7; spawn /web 2; start /web 2; spawn /proxy 2; start /proxy 2`
	var told []string // from the death on; the failed tries' processes apart
	for _, e := range r.order("exit start_error start spawn", "/db", "/web", "/proxy") {
		if e == "exit /db 1" || len(told) > 0 && !strings.HasPrefix(e, "spawn /db") && !strings.HasPrefix(e, "exit /db") {
			told = append(told, e)
		}
	}
	if strings.Join(told, "; ") != want {
		t.Errorf("it went\n%s\nwant\n%s", strings.Join(told, "; "), want)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A dependency dies while a late dependent is still starting: the dependent is
// not skipped and not left alone with the old one. Both come again, in order.
func TestADependencyDiesWhileItsDependentStarts(t *testing.T) {
	t.Parallel()
	r := launch(t, `
strategy = "rest_for_one"
[[child]]
name = "db"
command = "exec sleep 1000"
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "gate"
command = '[ $SUPERVISE_INCARNATION -eq 1 ] && { mkfifo gate; echo closed; read word < gate; }; echo open; exec sleep 1000'
ready = { log = "open" }
[[child]]
name = "last"
command = "exec sleep 1000"
`)
	r.follow()
	r.stdout.says(t, "/gate | closed\n")
	syscall.Kill(r.node("/db").Pid, syscall.SIGKILL)
	r.await("/db", journal.Exit, 1)
	r.open()
	r.await("/last", journal.Start, 2)
	got := r.order("start", "/db", "/gate", "/last")
	if want := "start /db 1; start /gate 1; start /last 1; start /db 2; start /gate 2; start /last 2"; strings.Join(got, "; ") != want {
		t.Errorf("it went %s\nwant   %s", strings.Join(got, "; "), want)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A dependency that ends before it is ready, in failure or in success, at once
// or later, has failed to start: its dependent is never run, and the boot ends
// at once with a reason, long before the start timeout.
func TestADependencyThatEndsBeforeItIsReadyFailsFast(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"exit 1", "exit 0", "echo working; sleep 0.1; exit 7", "kill -KILL $$"} {
		r := launch(t, fmt.Sprintf(`
[[child]]
name = "db"
command = %q
ready = { log = "^ready$" }
start_timeout = "1h"
[[child]]
name = "web"
command = "echo web runs; exec sleep 1000"
`, command))
		r.endsWith(1)
		if said := r.stderr.String(); !strings.Contains(said, "path=/db") || strings.Contains(said, "path=/web") {
			t.Errorf("%q: the boot says\n%s", command, said)
		}
		if strings.Contains(r.stdout.String(), "web runs") {
			t.Errorf("%q: the dependent was run", command)
		}
	}
}

// A dependency that exceeds its limit takes its dependents along each time,
// and in the end the tree gives up as a whole: nothing spins for ever.
func TestADependencyBeyondItsLimitIsNotALoop(t *testing.T) {
	t.Parallel()
	r := launch(t, `
strategy = "rest_for_one"
intensity = 1
period = "1000s"
[[child]]
name = "gate"
command = "mkfifo gate && echo closed; read word < gate; echo open; exec sleep 1000"
ready = { log = "open" }
[[child]]
name = "dbs"
intensity = 2
period = "1000s"
backoff = { kind = "none" }
  [[child.child]]
  name = "db"
  command = "exec false"
  backoff = { kind = "none" }
[[child]]
name = "web"
command = "exec sleep 1000"
`)
	r.stdout.says(t, "/gate | closed\n")
	r.follow()
	r.open()
	r.await("/", journal.Exit)
	r.endsWith(1)
	if n := len(r.told("/dbs/db", journal.Spawn)); n > 6 {
		t.Errorf("/dbs/db was started %d times; three in each of two lives are allowed", n)
	}
	if n := len(r.told("/dbs", journal.GiveUp)); n != 2 {
		t.Errorf("/dbs gave up %d times, want 2", n)
	}
	if n := len(r.told("/", journal.GiveUp)); n != 1 {
		t.Errorf("the root gave up %d times, want 1", n)
	}
	if spawns, ends := r.told("/web", journal.Spawn), r.told("/web", journal.Exit); len(spawns) != len(ends) {
		t.Errorf("/web was started %d times and ended %d times", len(spawns), len(ends))
	}
}

// An order for a child whose turn has not come waits its turn: nothing is
// wedged, and there is one copy.
func TestOrdersForAChildThatIsPending(t *testing.T) {
	t.Parallel()
	r := launch(t, gate+`
[[child]]
name = "restarted"
command = ["sleep", "1000"]
[[child]]
name = "stopped"
command = ["sleep", "1000"]
`)
	r.follow()
	r.stdout.says(t, "/gate | closed\n")
	for range 5 {
		r.does(0, "restart", "-no-wait", "/restarted")
	}
	r.does(0, "stop", "-no-wait", "/stopped")
	r.open()
	r.await("/stopped", journal.Down)
	if n := r.node("/restarted"); n.State != journal.StateRunning || n.Incarnation != 6 {
		t.Errorf("/restarted is %v, incarnation %d, want running, 6", n.State, n.Incarnation)
	}
	if n := len(r.of("/restarted")); n != 1 {
		t.Errorf("%d processes of /restarted", n)
	}
	if n := r.node("/stopped"); n.State != journal.StateDown || len(r.of("/stopped")) > 0 {
		t.Errorf("/stopped is %v", n.State)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A dependency that fails its very first start ends the boot, as OTP's does. Where
// somebody starts the tree again, systemd, a container's policy or, as here, a tree above
// it, all of it comes when the dependency does, and nobody has to help.
func TestADependencyThatFailsItsFirstStart(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	inner := `
strategy = "rest_for_one"
[[child]]
name = "db"
command = "[ -e repaired ] || exit 1; echo ready; exec sleep 1000"
ready = { log = "^ready$" }
[[child]]
name = "web"
command = "echo the web runs; exec sleep 1000"
`
	outer := `
[[child]]
name = "shop"
command = ["sh", "-c", "exec $E2E_SUPERVISE -config inner.toml -socket inner"]
backoff = { kind = "constant", min = "20ms" }
`
	for name, toml := range map[string]string{"inner.toml": inner, "outer.toml": outer} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(toml), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := launchFile(t, dir, "outer.toml")
	for life := uint64(1); life <= 5; life++ {
		if e := r.await("/shop", journal.Exit, life); e.Status == nil || *e.Status != 1 {
			t.Errorf("without its database the shop ended with %+v", e)
		}
	}
	if strings.Contains(r.stdout.String(), "the web runs") {
		t.Error("the dependent ran without its dependency")
	}
	r.write("repaired", "")
	r.stdout.says(t, "/shop | /web | the web runs\n")
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// What proved that a dependency was up is gone and comes back, again and again, while a
// late dependent starts. A proof is asked for until it is given: the dependent is neither
// skipped nor held up, and nobody is started again.
func TestAProofThatIsLostAgainIsNotAskedFor(t *testing.T) {
	t.Parallel()
	r := launch(t, `
strategy = "rest_for_one"
[[child]]
name = "db"
command = "touch answers; exec sleep 1000"
ready = { exec = ["sh", "-c", "test -e answers && echo asked >> tries"] }
[[child]]
name = "gate"
command = "mkfifo gate && echo closed; read word < gate; echo open; exec sleep 1000"
ready = { log = "open" }
[[child]]
name = "late"
command = "exec sleep 1000"
`)
	r.stdout.says(t, "/gate | closed\n")
	for range 10 {
		if err := os.Remove(filepath.Join(r.dir, "answers")); err != nil {
			t.Fatal(err)
		}
		r.write("answers", "")
	}
	os.Remove(filepath.Join(r.dir, "answers"))
	r.open()
	r.await("/late", journal.Start, 1)
	r.await("/", journal.Start)
	if n := r.node("/db"); n.State != journal.StateRunning || n.Incarnation != 1 {
		t.Errorf("/db is %v, incarnation %d", n.State, n.Incarnation)
	}
	if tries, _ := os.ReadFile(filepath.Join(r.dir, "tries")); string(tries) != "asked\n" {
		t.Errorf("it was asked for its proof\n%sonce was enough", tries)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A dependency that must go on proving that it is well has a watchdog. When it hangs while
// a late dependent starts, it is killed, and when it is up again all that
// depends on it is started again, in order.
func TestADependencyThatHangsWhileItsDependentStarts(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-notify")
	r := launch(t, `
strategy = "rest_for_one"
[[child]]
name = "db"
command = '''
systemd-notify --ready
until [ -e hang ]; do systemd-notify --no-block WATCHDOG=1; sleep 0.1; done
exec sleep 1000'''
ready = { notify = true }
watchdog = { every = "2s", signal = "WINCH" }
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "gate"
command = '[ $SUPERVISE_INCARNATION -eq 1 ] && { mkfifo gate; echo closed; read word < gate; }; echo open; exec sleep 1000'
ready = { log = "open" }
[[child]]
name = "late"
command = "exec sleep 1000"
`)
	r.stdout.says(t, "/gate | closed\n")
	r.follow()
	r.write("hang", "")
	r.await("/db", journal.Exit, 1)
	os.Remove(filepath.Join(r.dir, "hang"))
	r.open()
	r.await("/late", journal.Start, 2)
	got := strings.Join(r.order("watchdog start", "/db", "/gate", "/late"), "; ")
	want := "start /db 1; watchdog /db 1; watchdog /db 1; start /gate 1; start /late 1; start /db 2; start /gate 2; start /late 2"
	if got != want {
		t.Errorf("it went %s\nwant   %s", got, want)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
