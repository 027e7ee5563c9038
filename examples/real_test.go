// Package examples runs every example under the real program.
package examples

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// bin is where TestMain has built the program and the examples.
func TestMain(m *testing.M) { os.Exit(build(m)) }

const binVariable = "EXAMPLES_TEST_BIN"

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir+"/", "../cmd/supervise", "./names", "./bank", "./pingpong", "./chat", "./discovery", "./updater", "./blocking", "./exitreasons", "./web", "./clients/goworker")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the examples: %v\n%s", err, out)
		return 1
	}
	os.Setenv(binVariable, dir)
	return m.Run()
}

// patience is a net: no test waits for it.
const patience = 2 * time.Minute

// tree is a running tree.
type tree struct {
	t      *testing.T
	socket string
	bin    string
}

// run runs the tree of an example, with parts of its file replaced.
func run(t *testing.T, example string, replace ...string) *tree {
	t.Helper()
	dir := t.TempDir()
	tr := &tree{t: t, socket: filepath.Join(dir, "s"), bin: os.Getenv(binVariable)}
	text, err := os.ReadFile(filepath.Join(example, "tree.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{filepath.Join(tr.bin, example), filepath.Join(example, example+".sh")} {
		if from, err = filepath.Abs(from); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(from); err == nil {
			if err := os.Symlink(from, filepath.Join(dir, filepath.Base(from))); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(dir, "tree.toml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(tr.bin, "supervise"), "-config", file, "-socket", tr.socket)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer kill.Stop()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the tree ended with %v", err)
		}
		if t.Failed() {
			t.Logf("its log:\n%s", &log)
		}
	})
	tr.want("", "wait", "-for", "ready", "/")
	return tr
}

// do runs a command of the program and returns what it printed, with the
// status and standard error if that is not 0.
func (tr *tree) do(args ...string) string {
	tr.t.Helper()
	flags := []string{args[0], "-socket", tr.socket}
	if args[0] == "call" { // what the test says comes later, and counts
		flags = append(flags, "-timeout", patience.String())
	}
	args = append(flags, args[1:]...)
	cmd := exec.Command(filepath.Join(tr.bin, "supervise"), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		tr.t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Sprintf("%d %s", code, strings.TrimSpace(errOut.String()))
	}
	return strings.TrimSpace(out.String())
}

func (tr *tree) want(want string, args ...string) {
	tr.t.Helper()
	if got := tr.do(args...); got != want {
		tr.t.Errorf("supervise %s: %s, want %s", strings.Join(args, " "), got, want)
	}
}

// done wants status 0, whatever is printed.
func (tr *tree) done(args ...string) {
	tr.t.Helper()
	if got := tr.do(args...); got != "" && got[0] >= '0' && got[0] <= '9' {
		tr.t.Errorf("supervise %s: %s", strings.Join(args, " "), got)
	}
}

// fails wants a status, and a word on standard error.
func (tr *tree) fails(status, word string, args ...string) {
	tr.t.Helper()
	if got := tr.do(args...); !strings.HasPrefix(got, status+" ") || !strings.Contains(got, word) {
		tr.t.Errorf("supervise %s: %s, want %s and %s", strings.Join(args, " "), got, status, word)
	}
}

// until asks until the answer is as wanted: for what happens by itself.
func (tr *tree) until(ok func(string) bool, args ...string) string {
	tr.t.Helper()
	for end := time.Now().Add(patience); ; {
		got := tr.do(args...)
		if ok(got) {
			return got
		}
		if time.Now().After(end) {
			tr.t.Fatalf("supervise %s: still %s", strings.Join(args, " "), got)
		}
	}
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

// field is a word of the line of names that begins with name: 1 the path, 2
// the address, 3 the incarnation.
func (tr *tree) field(name string, n int) string {
	tr.t.Helper()
	for _, line := range strings.Split(tr.do("names"), "\n") {
		if words := strings.Fields(line); len(words) > n && words[0] == name {
			return words[n]
		}
	}
	return ""
}

func TestNames(t *testing.T) {
	tr := run(t, "names")
	tr.want("", "cast", "names", "add", `{"Name":"Joe","Place":"At Home"}`)
	tr.want(`"At Home"`, "call", "names", "find", `"Joe"`)
	tr.fails("1", "not_found", "call", "names", "find", `"Bob"`)
	tr.fails("1", `did you mean "find"?`, "call", "names", "fimd", `"Bob"`)
	tr.done("signal", "/names", "KILL")
	tr.until(func(got string) bool { return strings.Contains(got, "not_found") }, "call", "names", "find", `"Joe"`)
	if inc := tr.field("names", 3); inc != "#2" {
		t.Errorf("the name is held by incarnation %s", inc)
	}
}

func TestBank(t *testing.T) {
	tr := run(t, "bank")
	call := func(want, method, who string, amount int) {
		t.Helper()
		tr.want(want, "call", "bank", method, fmt.Sprintf(`{"Who":%q,"Amount":%d}`, who, amount))
	}
	call("985", "withdraw", "main", 15)
	tr.fails("1", "not_a_customer", "call", "bank", "deposit", `{"Who":"Joe","Amount":10}`)
	tr.want(`"welcome"`, "call", "bank", "new_account", `"Joe"`)
	tr.fails("1", "already_a_customer", "call", "bank", "new_account", `"Joe"`)
	call("10", "deposit", "Joe", 10)
	call("40", "deposit", "Joe", 30)
	call("25", "withdraw", "Joe", 15)
	tr.fails("1", "insufficient_balance", "call", "bank", "withdraw", `{"Who":"Joe","Amount":45}`)
	call("0", "withdraw", "Joe", 25)
	tr.want(`"stopped"`, "call", "bank", "stop")
	tr.want("", "wait", "-for", "down", "/bank")
	tr.fails("69", "noproc", "call", "bank", "stop")
}

func TestPingPong(t *testing.T) {
	tr := run(t, "pingpong")
	hits := func() (n int) {
		t.Helper()
		if _, err := fmt.Sscan(tr.do("call", "/producer", "hits"), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for hits() < 1000 && t.Context().Err() == nil {
	}
	tr.done("signal", "/consumer", "KILL")
	tr.until(func(string) bool { return tr.field("consumer", 3) == "#2" }, "names")
	for before := hits(); hits() < before+1000 && t.Context().Err() == nil; {
	}
}

func TestChatOverTwoNodes(t *testing.T) {
	tr := run(t, "chat")
	tr.until(is(`["Alice","Bob"]`), "call", "room", "members")
	tr.want("", "cast", "room", "say", `{"From":"Alice","Text":"Hello everyone!"}`)
	tr.want("", "cast", "room", "say", `{"From":"Bob","To":"Alice","Text":"Hey Alice!"}`)
	tr.until(is(`["Alice: Hello everyone!"]`), "call", "/east/bob", "heard")
	tr.until(is(`["Bob: Hey Alice!"]`), "call", "/west/alice", "heard")
	tr.done("stop", "/east/bob")
	tr.until(is(`["Alice"]`), "call", "room", "members")
	tr.done("start", "/east/bob")
	tr.until(is(`["Alice","Bob"]`), "call", "room", "members")
	// A whole node dies; its members are gone, and come back.
	tr.done("signal", "/west", "KILL")
	tr.until(is(`["Bob","Alice"]`), "call", "room", "members")
}

func TestDiscovery(t *testing.T) {
	tr := run(t, "discovery")
	tr.want(`"http://localhost:8080"`, "call", "web", "url")
	tr.want(`"postgres://localhost:5432"`, "call", "db", "url")
	tr.fails("69", "noproc", "call", "mail", "url")
	before := tr.field("web", 2)
	tr.done("signal", "/web", "KILL")
	tr.until(func(string) bool { return tr.field("web", 3) == "#2" }, "names")
	if after := tr.field("web", 2); after == before {
		t.Errorf("two lives have the address %s", after)
	}
	tr.fails("69", "noproc", "call", before, "url")
}

func TestUpdater(t *testing.T) {
	var hits atomic.Int32
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "page ", hits.Add(1))
	}))
	defer page.Close()
	tr := run(t, "updater", "http://localhost:8080/", page.URL)
	tr.until(is(`{"Times":2,"Last":"page 2"}`), "call", "updater", "latest")
}

func TestABlockedNeighbour(t *testing.T) {
	tr := run(t, "blocking")
	tr.want("", "cast", "bad", "block")
	load := `"` + strings.Repeat("x", 60_000) + `"`
	for range 20 {
		tr.want("", "cast", "bad", "load", load)
	}
	tr.fails("124", "timeout", "call", "-timeout", "200ms", "bad", "load", `""`)
	tr.until(func(got string) bool { return got != "0" && !strings.Contains(got, " ") }, "call", "good", "ticks")
}

func TestExitReasons(t *testing.T) {
	tr := run(t, "exitreasons")
	reasons := []string{}
	for _, how := range []struct{ end, want string }{
		{"normal", "normal"}, {"shutdown", "shutdown"}, {"error", "abnormal (something broke)"},
		{"panic", "abnormal (panic in end: boom)"}, {"exit", "abnormal"}, {"signal", "abnormal"}, {"kill", "killed"},
	} {
		addr := ""
		tr.until(func(string) bool { addr = tr.field("mortal", 2); return addr != "" }, "names")
		tr.want("null", "call", "/watcher", "watch", `"`+addr+`"`)
		if how.end == "kill" {
			tr.done("signal", "/mortal", "KILL")
		} else {
			tr.want("", "cast", addr, "end", `"`+how.end+`"`)
		}
		got := tr.until(func(got string) bool { return strings.Count(got, `"`) == 2*len(reasons)+2 }, "call", "/watcher", "reasons")
		reasons = append(reasons, how.want)
		last := got[strings.LastIndex(got[:len(got)-2], `"`)+1 : len(got)-2]
		if !strings.HasPrefix(last, how.want) {
			t.Errorf("%s: the reason is %q, want %q", how.end, last, how.want)
		}
	}
}

func TestWeb(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	site := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(site, "hello"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hello")
	tr := run(t, "web", `"site"`, fmt.Sprintf("%q", site), ":8080", addr)
	get := func() string {
		t.Helper()
		resp, err := http.Get("http://" + addr + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	if got := get(); got != "hello" { // ready means that it listens
		t.Errorf("the page is %q", got)
	}
	write("goodbye")
	tr.want("null", "call", "/web", "reload")
	if got := get(); got != "goodbye" {
		t.Errorf("the page is %q", got)
	}
}

func TestTheWorkerInSh(t *testing.T) {
	tr := run(t, "counter")
	tr.until(is("5"), "call", "counter", "add", "5")
	tr.want("", "cast", "counter", "add", "30")
	tr.want("42", "call", "counter", "add", "7")
	tr.fails("1", "no_method", "call", "counter", "nonsense")
	tr.done("signal", "/counter", "KILL")
	tr.until(is("0"), "call", "counter", "total")
}
