package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// The torture that process supervisors are known to fail: what "stopped" is worth.

// levels are the containments that every promise is tried with. Cgroups need
// root, or a delegation.
func levels(t *testing.T) []string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("NOT RUN with cgroups: this needs root")
		return []string{"basic"}
	}
	return []string{"basic", "cgroup"}
}

// of lists the live processes of a child: those that carry its path, but for
// one that a supervisor is just making.
func (r *running) of(path string) (pids []string) {
	for _, pid := range marked(r.mark) {
		env, err := os.ReadFile("/proc/" + pid + "/environ")
		if err == nil && strings.Contains("\x00"+string(env), "\x00SUPERVISE_PATH="+path+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone checks that nothing of a child is alive.
func (r *running) gone(path string) {
	r.t.Helper()
	if pids := r.of(path); len(pids) > 0 {
		r.t.Errorf("%s is said to be stopped, and its processes %v are alive", path, pids)
	}
}

// post sends an order over the socket, which is quicker than a command, and
// returns the HTTP status.
func (r *running) post(route string) int {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
		},
	}}
	answer, err := client.Post("http://tree/v1/"+route, "", nil)
	if err != nil {
		r.t.Errorf("posting %s: %v", route, err)
		return 0
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func TestStoppedMeansThatNothingIsLeft(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		for name, command := range map[string]string{
			"a child in the group that ignores TERM": `(trap '' TERM; echo up; while :; do sleep 1000 & wait; done) & exec sleep 1000`,
			"a child that left the session":          `setsid sh -c 'echo up; exec sleep 1000' & exec sleep 1000`,
			"a daemon":                               `(setsid sh -c 'trap "" TERM; echo up; while :; do sleep 1000 & wait; done' &); exec sleep 1000`,
			"one that ignores TERM itself":           `trap '' TERM; echo up; while :; do sleep 1000 & wait; done`,
			"one that holds the output open":         `(trap '' TERM; exec sleep 1000) & echo up; exec sleep 1000`,
		} {
			t.Run(level+"/"+name, func(t *testing.T) {
				r := boot(t, fmt.Sprintf("containment = %q\n[[child]]\nname = \"w\"\nshutdown = \"300ms\"\ncommand = %q\n", level, command))
				r.stdout.says(t, "/w | up")
				r.does(0, "stop", "/w")
				r.gone("/w")
				if n := r.node("/w"); n.State != journal.StateDown {
					t.Errorf("after the stop /w is %v", n.State)
				}
				r.does(0, "start", "/w")
				r.signal(syscall.SIGTERM)
				r.endsWith(0)
			})
		}
	}
}

func TestWhatACrashLeftIsGoneBeforeTheNextLife(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			r := boot(t, fmt.Sprintf(`
				containment = %q
				intensity = "infinity"
				[[child]]
				name = "w"
				command = "echo life $SUPERVISE_INCARNATION; (setsid sleep 1000 &); sleep 1000 & exec sleep 1000"
				backoff = { kind = "none" }`, level))
			for life := uint64(1); life <= 20; life++ {
				pid := r.await("/w", journal.Start, life).Pid
				r.stdout.says(t, fmt.Sprintf("/w | life %d\n", life))
				syscall.Kill(pid, syscall.SIGKILL)
				r.await("/w", journal.Start, life+1)
				for _, pid := range r.of("/w") {
					if of := incarnation(pid); of != 0 && of <= life {
						t.Errorf("process %s of life %d is alive beside its successor", pid, of)
					}
				}
			}
			r.signal(syscall.SIGTERM)
			r.endsWith(0)
		})
	}
}

// incarnation is the life that a process belongs to; 0 if it is gone.
func incarnation(pid string) uint64 {
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		return 0
	}
	for kv := range strings.SplitSeq(string(env), "\x00") {
		if v, ok := strings.CutPrefix(kv, "SUPERVISE_INCARNATION="); ok {
			n, _ := strconv.ParseUint(v, 10, 64)
			return n
		}
	}
	return 0
}

// Every life takes a lock, which it has as long as it lives: one that cannot have it is a
// second copy, and says so before it counts as up.
func TestAHundredRestartsAtOnceNeverGiveTwoCopies(t *testing.T) {
	t.Parallel()
	needs(t, "flock")
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
			containment = %q
			[[child]]
			name = "w"
			command = "exec 9> lock; flock -n 9 && echo alone || echo a second copy; exec sleep 1000"
			ready = { log = "alone|copy" }`, level))
		var orders sync.WaitGroup
		for range 100 {
			orders.Go(func() { r.post("restart/w") })
		}
		orders.Wait()
		if n := r.node("/w"); n.Incarnation != 101 || n.State != journal.StateRunning {
			t.Errorf("after a hundred restarts /w is %v, incarnation %d, want running, 101", n.State, n.Incarnation)
		}
		if n := len(r.of("/w")); n != 1 {
			t.Errorf("%d processes of /w", n)
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
		said := r.stdout.String()
		if alone := strings.Count(said, "/w | alone\n"); alone != 101 || strings.Contains(said, "copy") {
			t.Errorf("of 101 lives %d were alone:\n%s", alone, tail(said))
		}
	}
}

// A stop that comes at the moment of a natural end: whichever is first, there
// is no start after the stop.
func TestAStopRacesANaturalEndAThousandTimes(t *testing.T) {
	t.Parallel()
	r := boot(t, `
		intensity = "infinity"
		[[child]]
		name = "w"
		command = "exec true"
		backoff = { kind = "none" }`)
	for i := range 1000 {
		if status := r.post("stop/w"); status != http.StatusOK {
			t.Fatalf("stop answered %d", status)
		}
		if i%10 == 0 || long() { // a look at all of /proc takes longer than the rest
			r.gone("/w")
		}
		r.post("start/w")
	}
	r.does(0, "stop", "/w")
	out, _ := r.does(0, "events", "-json")
	if last := records(t, out); last[len(last)-1].Event != journal.Down {
		t.Errorf("after the last stop came %v", last[len(last)-1])
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}

func TestTenLevelsStopInReverse(t *testing.T) {
	t.Parallel()
	var toml strings.Builder
	var path, prefix string
	for level := range 10 {
		table := strings.TrimSuffix("child."+prefix, ".")
		for w := range 5 {
			fmt.Fprintf(&toml, "[[%s]]\nname = \"w%d\"\ncommand = \"exec sleep 1000\"\n", table, w)
		}
		if level < 9 {
			fmt.Fprintf(&toml, "[[%s]]\nname = \"s\"\n", table)
			prefix += "child."
			path += "/s"
		}
	}
	r := boot(t, toml.String())
	if n := r.node(path + "/w4"); n.State != journal.StateRunning {
		t.Fatalf("the deepest worker is %v", n.State)
	}
	r.follow()
	r.signal(syscall.SIGTERM)
	r.await("/", journal.Exit)
	r.endsWith(0)
	var exits, want []string
	for line := range strings.Lines(r.events.said.String()) {
		if rec := records(t, line)[0]; rec.Event == journal.Exit && rec.Path != "/" {
			exits = append(exits, rec.Path)
		}
	}
	for ; ; path = strings.TrimSuffix(path, "/s") {
		for w := range 5 {
			want = append(want, fmt.Sprintf("%s/w%d", path, 4-w))
		}
		if path == "" {
			break
		}
		want = append(want, path) // and then what was started before it
	}
	if !slices.Equal(exits, want) {
		t.Errorf("they ended in the order\n%q, want\n%q", exits, want)
	}
}

// A tree that is too deep is refused, however deep it is.
func TestATreeThatIsTooDeepIsRefused(t *testing.T) {
	t.Parallel()
	for levels, says := range map[int]string{32: "", 33: "32 is the deepest", 1000: "more dots on one line than any configuration needs"} {
		var toml strings.Builder
		table := "child"
		for range levels - 1 { // the root is one, too
			fmt.Fprintf(&toml, "[[%s]]\nname = \"s\"\n", table)
			table += ".child"
		}
		fmt.Fprintf(&toml, "[[%s]]\nname = \"w\"\ncommand = \"exec sleep 1000\"\n", table)
		file := filepath.Join(scratch(t), "deep.toml")
		if err := os.WriteFile(file, []byte(toml.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		status := 0
		if says != "" {
			status = 78
		}
		if _, said := finishes(t, exec.Command(program(), "check", file), status); !strings.Contains(said, says) {
			t.Errorf("of %d levels it says\n%s", levels, tail(said))
		}
	}
}

// A command that makes itself a daemon ends at once with success: it is started
// again with growing pauses, what it leaves is known and does not pile up, and one
// line says what is wrong with it.
func TestADaemonDoesNotPileUp(t *testing.T) {
	t.Parallel()
	needs(t, "setsid")
	for _, level := range levels(t) {
		r := boot(t, fmt.Sprintf(`
			containment = %q
			[[child]]
			name = "w"
			command = "(setsid sh -c 'sleep 1000 & exit 0' &); exit 0"
			backoff = { kind = "exponential", min = "1ms", jitter = 0.0 }`, level))
		r.await("/w", journal.Spawn, 9)
		r.does(0, "stop", "/w")
		r.gone("/w")
		delay := 0.001
		for life := uint64(1); life <= 8; life++ {
			if e := r.await("/w", journal.Exit, life); e.Reason != "normal" || len(e.Pids) == 0 {
				t.Errorf("life %d ended with %+v", life, e)
			}
			if e := r.await("/w", journal.Backoff, life); *e.Delay != delay {
				t.Errorf("after life %d it waits %v s, want %v", life, *e.Delay, delay)
			}
			delay *= 2
		}
		r.signal(syscall.SIGTERM)
		r.endsWith(0)
		if n := strings.Count(r.stderr.String(), "it must be told to stay in the foreground: path=/w "); n != 1 {
			t.Errorf("it was warned of %d times", n)
		}
	}
}

// A binary that is overwritten while it is started cannot be executed for a
// moment; that passes, and is tried again.
func TestABinaryThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t)
	binary := filepath.Join(dir, "worker")
	if err := os.WriteFile(binary, code, 0o755); err != nil {
		t.Fatal(err)
	}
	times := 10
	if long() {
		times = 200
	}
	r := boot(t, fmt.Sprintf("[[child]]\nname = \"w\"\ncommand = [%q, \"1000\"]\nbackoff = { kind = \"constant\", min = \"5ms\" }\n", binary))
	for range times {
		now := r.node("/w")
		writing, err := os.OpenFile(dir+"/new", os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		writing.Write(code)
		os.Rename(dir+"/new", binary) // and it is still open for writing
		syscall.Kill(now.Pid, syscall.SIGKILL)
		r.find("a start that fails", func(rec *journal.Record) bool {
			return rec.Event == journal.Failed && strings.Contains(rec.Error, "text file busy") && rec.Incarnation > now.Incarnation
		})
		writing.Close()
		r.does(0, "wait", "/w", "-for", "ready")
	}
	r.signal(syscall.SIGTERM)
	r.endsWith(0)
}
