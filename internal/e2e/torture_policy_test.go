package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
)

// The restart policy on real processes: how long a crasher is made to wait,
// and what counts as a failure.

// long says whether the long form of the torture was asked for: TORTURE=1.
func long() bool { return os.Getenv("TORTURE") != "" }

// told is every event of a path, of these kinds, that the follower has seen.
func (r *running) told(path string, kinds ...string) (of []journal.Record) {
	said := r.events.said.String()
	for _, rec := range records(r.t, said[:strings.LastIndexByte(said, '\n')+1]) {
		if rec.Path == path && slices.Contains(kinds, rec.Event) {
			of = append(of, rec)
		}
	}
	return of
}

// Whoever crashes waits longer each time, up to the bound, however long the
// lives were, and no start comes before its delay is over. Only a life that
// was healthy sets the delay back.
func TestBackoffGrowsForAQuickAndForASlowCrasher(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[defaults]
backoff = { kind = "exponential", min = "10ms", max = "200ms", jitter = 0.1 }
[[child]]
name = "quick"
command = "exit 1"
[[child]]
name = "slow"
command = "sleep 0.1; exit 1"
[[child]]
name = "signalled"
command = "kill -SEGV $$"
[[child]]
name = "healthy"
command = "sleep 0.05; exit 1"
backoff = { min = "10ms", reset_after = "1ms", jitter = 0.0 }
`)
	for _, path := range []string{"/quick", "/slow", "/signalled"} {
		r.await(path, journal.Backoff, 8)
		r.await(path, journal.Spawn, 9)
		want := 0.010
		for i, rec := range r.told(path, journal.Backoff)[:8] {
			if got := *rec.Delay; got < want*0.9-0.001 || got > want*1.1+0.001 {
				t.Errorf("delay %d of %s is %v s, want %v", i+1, path, got, want)
			}
			want = min(2*want, 0.2)
		}
		ends, backoffs := r.told(path, journal.Exit), r.told(path, journal.Backoff)
		for i, spawn := range r.told(path, journal.Spawn)[1:9] { // the delay begins when the end has been told
			if waited := spawn.Time.Sub(ends[i].Time).Seconds(); waited < *backoffs[i].Delay-0.001 {
				t.Errorf("start %d of %s came after %v s, its delay is %v", spawn.Incarnation, path, waited, *backoffs[i].Delay)
			}
		}
	}
	r.await("/healthy", journal.Backoff, 6)
	for _, rec := range r.told("/healthy", journal.Backoff) {
		if *rec.Delay != 0.01 {
			t.Errorf("after a healthy life the delay is %v", *rec.Delay)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A binary is missing for a while, as in a deployment that removes and copies.
// Nobody says that it runs, and when it is back it is started without help.
// With TORTURE=1 it is away for 12 seconds of the default backoff.
func TestABinaryThatIsMissingForAWhile(t *testing.T) {
	t.Parallel()
	policy, failures := `{ kind = "exponential", min = "1ms", max = "50ms" }`, 10
	if long() {
		policy, failures = "{}", 8 // 50 ms · (1 + 2 + … + 128) = 12.8 s
	}
	dir := scratch(t)
	program := dir + "/program"
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := boot(t, fmt.Sprintf("[[child]]\nname = \"w\"\ncommand = [%q]\nbackoff = %s\n", program, policy))
	r.follow()
	if err := os.Rename(program, program+".away"); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(r.node("/w").Pid, syscall.SIGKILL)
	for life := range failures {
		r.await("/w", journal.Failed, uint64(life+2))
		n := r.node("/w")
		if n.State == journal.StateRunning || n.Pid != 0 {
			t.Fatalf("without its program /w is %v, pid %d", n.State, n.Pid)
		}
	}
	if out, _ := r.does(0, "status"); !strings.Contains(out, "no such file or directory") {
		t.Errorf("status does not say what is missing:\n%s", out)
	}
	if err := os.Rename(program+".away", program); err != nil {
		t.Fatal(err)
	}
	r.does(0, "wait", "/w", "-for", "ready", "-timeout", patience.String())
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// What counts as a failure, and what does not.
func TestWhichEndsAreFailures(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[defaults]
restart = "transient"
backoff = { kind = "constant", min = "1ms" }
[[child]]
name = "listed"
command = "exit 3"
success_exit = [3]
[[child]]
name = "unlisted"
command = '[ $SUPERVISE_INCARNATION -ge 3 ] && exec sleep 1000; exit 3'
[[child]]
name = "says143"
command = "trap 'exit 143' TERM; echo up; while :; do sleep 0.01; done"
[[child]]
name = "killed"
command = "exec sleep 1000"
`)
	r.await("/listed", journal.Down)
	r.await("/unlisted", journal.Start, 3)
	syscall.Kill(r.await("/killed", journal.Start, 1).Pid, syscall.SIGKILL)
	r.await("/killed", journal.Start, 2)
	r.stdout.says(t, "/says143 | up")
	r.does(0, "stop", "/says143")
	for path, want := range map[string]string{"/listed": "normal", "/unlisted": "abnormal", "/says143": "shutdown", "/killed": "killed"} {
		if got := r.await(path, journal.Exit, 1).Reason; got != want {
			t.Errorf("the end of %s is %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"/listed", "/says143"} {
		if n := r.node(path); n.State != journal.StateDown || n.Incarnation != 1 {
			t.Errorf("%s is %v, incarnation %d, want down, 1", path, n.State, n.Incarnation)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A restart by hand is no end: the tree stays though the child is the one that
// the tree lives for.
func TestARestartByHandOfASignificantChildEndsNothing(t *testing.T) {
	t.Parallel()
	r := boot(t, `
auto_shutdown = "any_significant"
[[child]]
name = "app"
command = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"
restart = "transient"
significant = true
`)
	for life := uint64(2); life < 7; life++ {
		r.stdout.saysTimes(t, "/app | up", int(life-1))
		r.does(0, "restart", "/app")
		r.await("/app", journal.Start, life)
	}
	syscall.Kill(r.node("/app").Pid, syscall.SIGTERM) // this is one
	r.endsWith(0)
}

// Short lives lose no word, however short they are.
func TestTheOutputOfAVeryShortLifeIsCaptured(t *testing.T) {
	t.Parallel()
	const lives = 300
	r := boot(t, `
intensity = "infinity"
[[child]]
name = "w"
command = ["sh", "-c", "echo life $SUPERVISE_INCARNATION; echo failure $SUPERVISE_INCARNATION >&2"]
backoff = { kind = "none" }
`)
	r.awaitLife("/w", lives+1)
	r.stdout.says(t, fmt.Sprintf("/w | life %d\n", lives))
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
	for life := 1; life <= lives; life++ {
		if n := strings.Count(r.stdout.String(), fmt.Sprintf("/w | life %d\n", life)); n != 1 {
			t.Errorf("the output of life %d came %d times", life, n)
		}
		if n := strings.Count(r.stderr.String(), fmt.Sprintf("/w | failure %d\n", life)); n != 1 {
			t.Errorf("the errors of life %d came %d times", life, n)
		}
	}
}

// A thousand hang-ups are a thousand lines in the log and nothing else.
func TestAStormOfHangups(t *testing.T) {
	t.Parallel()
	r := boot(t, sleepers)
	first, inner := r.node("/first").Pid, r.node("/second/inner").Pid
	for range 1000 {
		r.signal(syscall.SIGHUP)
	}
	r.stderr.says(t, "this signal changes nothing")
	r.does(0, "restart", "/second/inner")
	if n := r.node("/second/inner"); r.node("/first").Pid != first || n.Pid == inner || n.Incarnation != 2 {
		t.Errorf("after the storm /second/inner is %+v", n.Node)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// ticks is the processor time that a process has used.
func ticks(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int
	fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Children that close their output and run on are no work for anybody.
func TestClosedOutputIsNoBusyLoop(t *testing.T) {
	t.Parallel()
	var toml strings.Builder
	for i := range 20 {
		fmt.Fprintf(&toml, "[[child]]\nname = \"w%d\"\ncommand = \"exec sleep 1000 >&- 2>&-\"\n", i)
	}
	r := boot(t, toml.String()+`
[[child]]
name = "clock"
command = "echo on; exec sleep 2"
restart = "temporary"
`)
	r.stdout.says(t, "/clock | on")
	pid := rootOf(r)
	before := ticks(t, pid)
	r.await("/clock", journal.Exit)
	if used := ticks(t, pid) - before; used > 500*time.Millisecond {
		t.Errorf("twenty closed outputs cost %v of processor time in 2 s", used)
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// A child that prints as fast as it can costs bounded memory, and the tree
// answers meanwhile. With TORTURE=1 until 5 GB are printed.
func TestAFloodOfOutput(t *testing.T) {
	t.Parallel()
	megabytes := 300
	if long() {
		megabytes = 5_000
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r := boot(t, fmt.Sprintf(`
[[child]]
name = "team"
  [[child.child]]
  name = "flood"
  command = "yes a line of a flood | head -c %dM"
  restart = "temporary"
`, megabytes), func(r *running) { r.cmd.Stdout = null })
	team := r.node("/team").Pid
	for range 20 {
		r.does(0, "status", "/team")
	}
	r.find("the end of the flood", func(rec *journal.Record) bool { return rec.Path == "/team/flood" && rec.Event == journal.Exit })
	for _, pid := range []int{team, rootOf(r)} {
		if peak := memory(t, pid, "VmHWM"); peak > limit(64<<10) {
			t.Errorf("a flood of %d MB took process %d to %d kB", megabytes, pid, peak)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// Fifty children of rest_for_one are killed at once. In whatever order their
// deaths are heard of: when the first one is back, all after it have begun once more,
// one after the other, and nothing runs twice.
func TestAStormKeepsTheOrderOfRestForOne(t *testing.T) {
	t.Parallel()
	const children, last = 50, "/w49"
	r := boot(t, "strategy = \"rest_for_one\"\nintensity = \"infinity\"\n[defaults]\nbackoff = { kind = \"constant\", min = \"1ms\" }\n"+sleeping(children))
	r.follow()
	for i := range children {
		syscall.Kill(r.await(fmt.Sprintf("/w%d", i), journal.Start, 1).Pid, syscall.SIGKILL)
	}
	first := r.await("/w0", journal.Start, 2).Seq
	end := r.find("the start of the last one after the first one's", func(e *journal.Record) bool {
		return e.Path == last && e.Event == journal.Start && e.Seq > first
	}).Seq
	before := first
	for i := 1; i < children; i++ {
		path := fmt.Sprintf("/w%d", i)
		started := r.find("the start of "+path+" after the first one's", func(e *journal.Record) bool {
			return e.Path == path && e.Event == journal.Start && e.Seq > first
		}).Seq
		if started <= before || started > end {
			t.Errorf("%s started as number %d, after %d and no later than %d were right", path, started, before, end)
		}
		before = started
		if pids := r.of(path); len(pids) != 1 {
			t.Errorf("%s has the processes %v", path, pids)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

// What ends while a long boot goes on is known before the boot is over, also
// when it is not the first.
func TestADeathIsHeardOfInTheMiddleOfABoot(t *testing.T) {
	t.Parallel()
	quick := func(name string) string {
		return "[[child]]\nname = \"" + name + "\"\nrestart = \"temporary\"\ncommand = [\"/bin/true\"]\n"
	}
	more := strings.ReplaceAll(sleeping(300), `"w`, `"v`)
	r := boot(t, quick("one")+sleeping(30)+quick("two")+more)
	end := r.find("the last start", func(e *journal.Record) bool { return e.Path == "/v299" && e.Event == journal.Start })
	for _, path := range []string{"/one", "/two"} {
		if died := r.await(path, journal.Exit); died.Seq > end.Seq {
			t.Errorf("%s ended as number %d, and the boot was over with %d", path, died.Seq, end.Seq)
		}
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
