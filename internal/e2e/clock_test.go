package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// The clock of this machine is not ours to set, and no namespace holds another
// one. So the program is built once more, on a package time whose wall clock is
// set a year back or forward every millisecond, while its monotonic clock goes
// on: what a step of the clock looks like from inside.
func withAMadClock(t *testing.T) string {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(goroot)), "src/time/time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const sane = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	mad := strings.Replace(string(source), sane, sane+"\tsec += (mono>>20&1*2 - 1) * 365 * 86400\n", 1)
	if mad == string(source) {
		t.Fatal("NOT RUN: time.Now does not look as it did in Go 1.26, so this test must be written anew")
	}
	dir := scratch(t)
	replaced := filepath.Join(dir, "time.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{replaced: []byte(mad), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "supervise")
	build := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "../../cmd/supervise")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program with a mad clock: %v\n%s", err, out)
	}
	return binary
}

// A suspend of the machine looks the same: the monotonic clock stands still in it.
func TestNothingIsDecidedByTheWallClock(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-notify")
	binary := withAMadClock(t)
	r := boot(t, `
[defaults]
backoff = { kind = "constant", min = "10ms", max = "10ms" }
[[child]]
name = "crash"
command = '[ "$SUPERVISE_INCARNATION" -ge 20 ] && exec sleep 1000; exit 1'
[[child]]
name = "pace"
command = "exit 1"
backoff = { kind = "constant", min = "1h", max = "1h" }
[[child]]
name = "limited"
strategy = "one_for_one"
intensity = 1
period = "1000s"
  [[child.child]]
  name = "trouble"
  command = '[ "$SUPERVISE_INCARNATION" -ge 3 ] && exec sleep 1000; exit 1'
[[child]]
name = "stubborn"
command = "exec $E2E_PLAY play stubborn"
shutdown = "100ms"
[[child]]
name = "probed"
command = "exec sleep 1000"
ready = { exec = ["sh", "-c", "echo >> tries; [ $(wc -l < tries) -ge 5 ]"], timeout = "1h" }
start_timeout = "1h"
[[child]]
name = "watched"
command = "systemd-notify --ready; while systemd-notify --no-block WATCHDOG=1; do sleep 0.2; done"
ready = { notify = true }
watchdog = "20s"
`, func(r *running) { r.cmd.Path = binary })

	// Restarts come after their delay, not after a year and not all at once.
	r.await("/crash", journal.Start, 20)
	if n := r.node("/pace"); n.State != journal.StateWaiting || n.Incarnation != 1 {
		t.Errorf("what has to wait an hour is %+v", n.Node)
	}
	// Two deaths are two within the period, whatever the clock says between.
	r.await("/limited", journal.GiveUp)
	r.await("/limited/trouble", journal.Start, 3)

	// A shutdown time is over when it is over.
	r.stdout.says(t, "nothing stops me")
	r.does(0, "stop", "/stubborn")
	if n := r.node("/stubborn"); n.LastExit == nil || n.LastExit.Reason != "killed" {
		t.Errorf("what ignores its stop signal is %+v", n.Node)
	}
	r.does(124, "wait", "/pace", "-for", "ready", "-timeout", "50ms")

	// A proof that may take an hour, and a watchdog of 20 s, have their time.
	for _, path := range []string{"/probed", "/watched"} {
		if n := r.node(path); n.State != journal.StateRunning || n.Incarnation != 1 {
			t.Errorf("%s is %v, incarnation %d", path, n.State, n.Incarnation)
		}
	}
	if misses := r.told("/watched", journal.Watchdog); len(misses) > 0 {
		t.Errorf("the watchdog bit: %+v", misses)
	}
	for i, e := range r.history() {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
