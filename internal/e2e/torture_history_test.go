package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// What a supervisor remembers of its children's past, and what not.

// A killed supervisor comes back as OTP's does: a new process, which has counted nothing
// yet. So its children's deaths before count neither for its limit nor for their
// delays. Only the number of a life is never given twice.
func TestAKilledSupervisorHasForgottenWhatItCounted(t *testing.T) {
	t.Parallel()
	r := boot(t, `
intensity = 1
period = "1000s"
[[child]]
name = "team"
intensity = 2
period = "1000s"
backoff = { kind = "none" }
  [[child.child]]
  name = "w"
  command = "exec sleep 1000"
  backoff = { kind = "exponential", min = "10ms", jitter = 0.0 }
`)
	r.follow()
	dies := func(life uint64, restarts int, delay float64) {
		t.Helper()
		syscall.Kill(r.await("/team/w", journal.Start, life).Pid, syscall.SIGKILL)
		if e := r.await("/team/w", journal.Backoff, life); e.Restarts != restarts || *e.Delay != delay {
			t.Errorf("life %d: %d deaths are counted and the delay is %v s, want %d and %v", life, e.Restarts, *e.Delay, restarts, delay)
		}
	}
	dies(1, 1, 0.01)
	dies(2, 2, 0.02)
	r.await("/team/w", journal.Start, 3)
	syscall.Kill(r.node("/team").Pid, syscall.SIGKILL)
	dies(4, 1, 0.01)
	dies(5, 2, 0.02)
	if n := len(r.told("/team", journal.GiveUp)); n > 0 {
		t.Errorf("the limit of 2 was exceeded %d times", n)
	}
	// What its own supervisor counted is not forgotten: one restart of /team it had already.
	syscall.Kill(r.await("/team/w", journal.Start, 6).Pid, syscall.SIGKILL)
	r.await("/team", journal.GiveUp)
	r.await("/", journal.GiveUp)
	r.endsWith(1)
}

// A long history of quick crashes and healthy runs: the delays grow with each crash, and
// each healthy run sets them back, however often that was so before. With TORTURE=1 it is a
// hundred times.
func TestEveryHealthyRunSetsTheDelayBack(t *testing.T) {
	t.Parallel()
	const crashes, healthy, resetAfter = 3, "1.3", 1.0
	histories := 4
	if long() {
		histories = 100
	}
	r := boot(t, fmt.Sprintf(`
intensity = "infinity"
[[child]]
name = "w"
command = "[ $((SUPERVISE_INCARNATION %% %d)) -eq 0 ] && sleep %s; exit 1"
backoff = { kind = "exponential", min = "10ms", jitter = 0.0, reset_after = "%vs" }
`, crashes+1, healthy, resetAfter))
	lives := histories * (crashes + 1)
	for life := crashes + 1; life <= lives; life += crashes + 1 { // each history has its time
		r.await("/w", journal.Backoff, uint64(life))
	}
	begins, ends, waits := r.told("/w", journal.Start), r.told("/w", journal.Exit), r.told("/w", journal.Backoff)
	want, resets := 0.01, 0
	for i, wait := range waits[:lives] {
		ran := ends[i].Time.Sub(begins[i].Time).Seconds() // a crash is quick, but for a machine that stood still
		if ran >= resetAfter {
			want = 0.01
			resets++
		}
		if *wait.Delay != want {
			t.Errorf("after life %d, of %.3f s, the delay is %v s, want %v", i+1, ran, *wait.Delay, want)
		}
		want *= 2
	}
	if resets < histories {
		t.Errorf("%d of %d runs were healthy", resets, histories)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// What a start did not achieve is not counted against the next one: its tries begin anew,
// as close together as the first one's, and so do the misses of its watchdog.
func TestEveryLifeBeginsToProveItselfAnew(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-notify")
	r := boot(t, `
[[child]]
name = "probed"
command = '''
case $SUPERVISE_INCARNATION in
  2|3|4) ;;
  *) sleep 0.2; echo $$ > up ;;
esac
exec sleep 1000'''
ready = { exec = ["sh", "-c", "echo $MAINPID >> tries; [ \"$(cat up)\" = $MAINPID ]"] }
start_timeout = "1s"
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "watched"
command = "systemd-notify --ready; exec sleep 1000"
ready = { notify = true }
watchdog = { every = "300ms", signal = "WINCH" }
backoff = { kind = "constant", min = "1ms" }
`)
	r.follow()
	syscall.Kill(r.node("/probed").Pid, syscall.SIGKILL)
	r.await("/probed", journal.Start, 5)
	spawns, failed := r.told("/probed", journal.Spawn), r.told("/probed", journal.Failed)
	if len(failed) != 3 {
		t.Fatalf("%d starts failed, want 3: %v", len(failed), failed)
	}
	for i, f := range failed {
		if took := f.Time.Sub(spawns[i+1].Time).Seconds(); took < 0.99 {
			t.Errorf("start %d was given up after %v s", f.Incarnation, took)
		}
		tries := r.triesOf(spawns[i+1].Pid)
		if tries < 2 || tries > 9 { // after 0, 50, 125, 237, 405, 658 ms, and then one each second
			t.Errorf("start %d tried %d times in a second", f.Incarnation, tries)
		}
	}

	r.await("/watched", journal.Spawn, 4)
	var signals []string
	for _, e := range r.told("/watched", journal.Watchdog)[:6] {
		signals = append(signals, fmt.Sprint(e.Incarnation, e.Signal))
	}
	if want := []string{"1WINCH", "1KILL", "2WINCH", "2KILL", "3WINCH", "3KILL"}; !slices.Equal(signals, want) {
		t.Errorf("three lives that hang were sent %v, want %v", signals, want)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// triesOf is how often the probe of a life was started, by what it wrote down.
func (r *running) triesOf(pid int) int {
	r.t.Helper()
	tries, err := os.ReadFile(filepath.Join(r.dir, "tries"))
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(tries)) {
		if line == fmt.Sprintln(pid) {
			n++
		}
	}
	return n
}
