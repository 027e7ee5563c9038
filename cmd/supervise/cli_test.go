package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/control"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// fakeTree answers in place of a running one.
type fakeTree struct {
	store journal.Store
	asked []control.Request
	err   error
}

func (f *fakeTree) Journal() *journal.Store { return &f.store }
func (f *fakeTree) Tap(wants func(string) bool) *output.Tap {
	return output.NewWriter(-1, -1, [2]bool{}).Tap(wants)
}
func (f *fakeTree) Info() control.Info { return control.Info{Name: "shop"} }

func (f *fakeTree) Do(_ context.Context, r control.Request) (control.Answer, error) {
	f.asked = append(f.asked, r)
	switch {
	case f.err != nil:
		return control.Answer{}, f.err
	case r.Verb == control.Stop:
		f.say(journal.Record{Event: journal.Down, Path: r.Path})
	case r.Verb == control.Start, r.Verb == control.Restart:
		f.say(journal.Record{Event: journal.Start, Path: r.Path, Kind: "worker", Pid: 99, Incarnation: 9})
		return control.Answer{Incarnation: 9}, nil
	case r.Verb == control.Remove:
		f.say(journal.Record{Event: journal.Remove, Path: r.Path})
	case r.Verb == control.Add && r.Child != nil:
		at := strings.TrimSuffix(r.Path, "/") + "/" + r.Child.Spec.ID
		f.say(journal.Record{Event: journal.Add, Path: at, Kind: "worker"},
			journal.Record{Event: journal.Start, Path: at, Kind: "worker", Pid: 50, Incarnation: 1})
		return control.Answer{Incarnation: 1}, nil
	case r.Verb == control.Add:
		return control.Answer{Path: r.Path + "/1"}, nil
	}
	return control.Answer{}, nil
}

func (f *fakeTree) Output(context.Context, string, int) ([]output.Line, error) {
	return []output.Line{{Stream: output.Stdout, Text: "listening"}, {Stream: output.Stderr, Text: "oh"}}, nil
}

func (f *fakeTree) Call(ctx context.Context, m control.Message) (json.RawMessage, error) {
	switch m.Method {
	case "echo":
		return m.Payload, nil
	case "never":
		<-ctx.Done()
		return nil, ctx.Err()
	case "$methods":
		return json.RawMessage(`["echo","withdraw"]`), nil
	case "nobody":
		return nil, &control.Refused{Word: "noproc"}
	}
	return nil, &control.Refused{Word: "insufficient_balance", Detail: "7"}
}

func (f *fakeTree) Cast(m control.Message) error { return nil }

func (f *fakeTree) Names(context.Context) ([]control.Name, error) {
	return []control.Name{{Name: "bank", Path: "/web", Addr: "@1.1", Incarnation: 1}}, nil
}

func (f *fakeTree) Channel(context.Context, string) (*control.Channel, error) {
	return &control.Channel{Waiting: 3, Names: []string{"bank"}, Statistics: json.RawMessage(`{"mailbox":2,"handled":1000,"expired":4,"p50":0.000128,"p99":0.002}`)}, nil
}

func (f *fakeTree) say(records ...journal.Record) {
	for _, r := range records {
		r.Time = time.Now()
		f.store.Append(r)
	}
}

// shop is a fake tree with a worker that runs, one that waits, and a supervisor.
func shop(t *testing.T) (*fakeTree, func(string) string) {
	t.Helper()
	f := &fakeTree{}
	status, delay := 3, 60.0
	f.say(journal.Record{Event: journal.Add, Path: "/", Kind: "supervisor", Name: "shop", Containment: "basic"},
		journal.Record{Event: journal.Start, Path: "/", Kind: "supervisor", Pid: 1, Incarnation: 1},
		journal.Record{Event: journal.Add, Path: "/db", Kind: "worker", Restart: "permanent"},
		journal.Record{Event: journal.Start, Path: "/db", Kind: "worker", Pid: 2, Incarnation: 1},
		journal.Record{Event: journal.Add, Path: "/web", Kind: "supervisor"},
		journal.Record{Event: journal.Start, Path: "/web", Kind: "supervisor", Pid: 3, Incarnation: 1},
		journal.Record{Event: journal.Add, Path: "/web/api", Kind: "worker"},
		journal.Record{Event: journal.Start, Path: "/web/api", Kind: "worker", Pid: 4, Incarnation: 1},
		journal.Record{Event: journal.Exit, Path: "/web/api", Kind: "worker", Pid: 4, Incarnation: 1, Reason: "abnormal", Status: &status},
		journal.Record{Event: journal.Backoff, Path: "/web/api", Incarnation: 1, Delay: &delay})
	dir := t.TempDir()
	listener, err := control.Listen(filepath.Join(dir, "supervise", "shop.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(control.Serve(f, listener).Close)
	return f, func(key string) string {
		if key == "XDG_RUNTIME_DIR" {
			return dir
		}
		return ""
	}
}

// says runs a command line, and checks the status and what standard output and
// error hold.
func says(t *testing.T, getenv func(string) string, status int, out, err string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	got := run(&stdio{out: &stdout, err: &stderr, getenv: getenv}, args)
	if got != status || !strings.Contains(stdout.String(), out) || !strings.Contains(stderr.String(), err) || err == "" && stderr.Len() > 0 {
		t.Errorf("supervise %s: status %d, stdout %q, stderr %q; want status %d, %q, %q", strings.Join(args, " "), got, stdout.String(), stderr.String(), status, out, err)
	}
	return stdout.String()
}

func TestStatusForAPipeHasAPathALine(t *testing.T) {
	_, env := shop(t)
	out := says(t, env, 0, "/db", "", "status")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{"/         running  pid 1  for ", "/db       running  pid 2  for ", "/web      running  pid 3  for ", "/web/api  waiting"}
	if len(lines) != len(want) {
		t.Fatalf("status prints\n%s", out)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %q, want %q", lines[i], want[i])
		}
	}
	if !strings.Contains(lines[3], "last abnormal with status 3 ") || !strings.Contains(lines[3], "next try in 59s") && !strings.Contains(lines[3], "next try in 1m0s") {
		t.Errorf("of the waiting child: %q", lines[3])
	}
	if strings.ContainsAny(out, "├└│\x1b") {
		t.Errorf("glyphs or colour in a pipe:\n%s", out)
	}
}

func TestStatusForATerminalIsATree(t *testing.T) {
	_, env := shop(t)
	var out bytes.Buffer
	if got := run(&stdio{out: &out, err: &out, getenv: env, tty: true, colour: true}, []string{"status"}); got != 0 {
		t.Fatal(out.String())
	}
	for _, want := range []string{"shop ", "├─ db ", "└─ web ", "   └─ api ", "\x1b[32mrunning\x1b[0m", "\x1b[33mwaiting\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	out.Reset()
	run(&stdio{out: &out, err: &out, getenv: env, tty: true, colour: true}, []string{"status", "-no-color"})
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("-no-color prints %q", out.String())
	}
}

func TestColourIsForThoseWhoWantIt(t *testing.T) {
	for _, x := range []struct {
		env  []string
		want bool
	}{{nil, true}, {[]string{"NO_COLOR", "1"}, false}, {[]string{"TERM", "dumb"}, false}, {[]string{"NO_COLOR", ""}, true}} {
		getenv := func(key string) string {
			if len(x.env) == 2 && x.env[0] == key {
				return x.env[1]
			}
			return ""
		}
		if got := wantsColour(getenv); got != x.want {
			t.Errorf("with %q colour is %v", x.env, got)
		}
	}
}

func TestStatusJSONIsTheContracts(t *testing.T) {
	_, env := shop(t)
	var n journal.Node
	if err := json.Unmarshal([]byte(says(t, env, 0, "", "", "status", "--json")), &n); err != nil || n.Path != "/" || len(n.Children) != 2 {
		t.Errorf("status --json: %+v, %v", n, err)
	}
	if err := json.Unmarshal([]byte(says(t, env, 0, "", "", "status", "web", "-json=true")), &n); err != nil || n.Path != "/web" {
		t.Errorf("status web: %+v, %v", n, err)
	}
	says(t, env, 0, "listening", "", "status", "/db")
	says(t, env, 1, "", "supervise: showing /nobody: not_found", "status", "/nobody")
}

func TestEvents(t *testing.T) {
	_, env := shop(t)
	out := says(t, env, 0, `{"seq":9,"time":"`, "", "events", "-json", "-since", "8")
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines after 8 of 10", n)
	}
	says(t, env, 0, "exit         /web/api  pid 4, abnormal, status 3", "", "events")
	says(t, env, 64, "", "since", "events", "-since", "yesterday")
}

func TestOrders(t *testing.T) {
	f, env := shop(t)
	says(t, env, 0, "/db is down\n", "", "stop", "/db")
	says(t, env, 0, "/db is running, pid 99\n", "", "start", "db")
	says(t, env, 0, `"incarnation":9}`, "", "restart", "-json", "/db")
	says(t, env, 0, "", "", "signal", "/db", "sighup")
	if last := f.asked[len(f.asked)-1]; last.Verb != control.Signal || last.Signal != "HUP" {
		t.Errorf("asked %+v", last)
	}
	says(t, env, 64, "", `there is no signal "HUPP"`, "signal", "/db", "HUPP")
	says(t, env, 0, "", "", "remove", "/db")
	says(t, env, 0, "/web/1 is down", "", "add", "/web", "--", "-x", "--", "y")
	if last := f.asked[len(f.asked)-1]; strings.Join(last.Args, " ") != "-x -- y" {
		t.Errorf("asked %+v", last)
	}
	says(t, env, 1, "", "root: it is the whole tree; use shutdown", "stop", "/")
	f.err = &control.Refused{Word: "already_present"}
	says(t, env, 1, "", "supervise: start /a: already_present\nsupervise: start /b: already_present", "start", "/a", "/b")
	f.err = &control.Refused{Word: "noproc"}
	says(t, env, 69, "", "noproc", "start", "/gone/a")
}

func TestAddReadsASpec(t *testing.T) {
	f, env := shop(t)
	file := filepath.Join(t.TempDir(), "new.toml")
	os.WriteFile(file, []byte("name = \"new\"\ncommand = [\"sleep\", \"1\"]\n"), 0o600)
	says(t, env, 0, "/new is running, pid 50", "", "add", "/", "-spec", file)
	says(t, env, 0, "/web/new is running", "", "add", "-spec="+file, "/web/new")
	if last := f.asked[len(f.asked)-1]; last.Path != "/web" || last.Child.Worker.Command[0] != "sleep" {
		t.Errorf("asked %+v", last)
	}
	os.WriteFile(file, []byte("name = \"new\"\ncomand = [\"sleep\"]\n"), 0o600)
	says(t, env, 78, "", `did you mean "command"?`, "add", "/", "-spec", file)
	says(t, env, 66, "", "no such file", "add", "/", "-spec", file+".none")
}

func TestWait(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "", "", "wait", "/db", "-for", "ready")
	says(t, env, 124, "", "supervise: waiting for /db to be down: timeout", "wait", "/db", "-for", "down", "-timeout", "1ms")
	says(t, env, 64, "", `did you mean "ready"?`, "wait", "/db", "-for", "redy")
	says(t, env, 64, "", "parse error", "wait", "/db", "-for", "ready", "-timeout", "5")
}

func TestWhyAndLogs(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "The next try is in", "", "why", "/web/api")
	says(t, env, 0, "Its last lines:\n  listening\n  oh\n", "", "why", "/web/api")
	says(t, env, 0, "listening\noh\n", "", "logs", "/db")
	says(t, env, 0, "/db | listening\n", "", "logs", "/db", "/web/api")
	says(t, env, 0, "/web/api | oh\n", "", "logs")
	says(t, env, 1, "", "not_found", "logs", "/db", "/nobody")
}

// fullDisk is a standard output without room.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnAnswerThatGotLostIsNoSuccess(t *testing.T) {
	_, env := shop(t)
	for _, args := range [][]string{{"status"}, {"status", "-json"}, {"events"}, {"why", "/db"}, {"logs"}, {"help"}, {"version"}} {
		var stderr bytes.Buffer
		if got := run(&stdio{out: fullDisk{}, err: &stderr, getenv: env}, args); got != 1 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: status %d, stderr %q", args, got, stderr.String())
		}
	}
}

func TestAWrongCommandLine(t *testing.T) {
	env := func(string) string { return "" }
	says(t, env, 64, "", "nothing to do")
	says(t, env, 64, "", `did you mean "status"?`, "statsu")
	says(t, env, 64, "", `did you mean "-follow"?`, "events", "-folow")
	says(t, env, 64, "", `did you mean "-config"?`, "-confg", "x")
	says(t, env, 64, "", "needs an argument", "-config")
	says(t, env, 64, "", "is none of", "-config", "x", "-log-level", "loud")
	says(t, env, 64, "", "is none of", "-config", "x", "-log-format", "xml")
	says(t, env, 64, "", "do not go with", "-check", "status")
	for _, command := range []string{"stop", "signal", "why", "wait", "check", "completion", "add"} {
		says(t, env, 64, "", "takes", command)
	}
	says(t, env, 64, "", "takes no words", "shutdown", "now")
	says(t, env, 69, "", "no running tree answers", "status", "-socket", "/nowhere")
	says(t, env, 66, "", "reading the configuration /nowhere", "check", "/nowhere")
	says(t, env, 66, "", "reading the configuration /nowhere", "-config", "/nowhere", "-check")
	says(t, env, 66, "", "reading the configuration /nowhere", "-config", "/nowhere", "status")
}

func TestATreeThatIsNotNamedMustBeTheOnlyOne(t *testing.T) {
	dir := t.TempDir()
	says(t, func(key string) string {
		if key == "XDG_RUNTIME_DIR" {
			return dir
		}
		return ""
	}, 64, "", "which tree is meant", "status")
}

func TestCheck(t *testing.T) {
	env := func(string) string { return "" }
	says(t, env, 0, "../../configs/demo.toml: ok", "", "check", "../../configs/demo.toml")
	says(t, env, 0, "ok", "", "--config=../../configs/demo.toml", "--check")
	says(t, env, 78, `"line":4,"column":11`, "channel.toml:4:11: ", "check", "-json", "../../configs/bad/channel.toml")
}

func TestHelp(t *testing.T) {
	env := func(string) string { return "" }
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		says(t, env, 0, "supervise -config tree.toml", "", args...)
	}
	for _, name := range names() {
		direct := says(t, env, 0, "supervise "+name, "", name, "-h")
		if through := says(t, env, 0, "", "", "help", name); through != direct {
			t.Errorf("help %s and %s -h differ", name, name)
		}
	}
	says(t, env, 0, "supervise dev (go", "", "version")
	says(t, env, 0, "supervise dev (go", "", "-version")
	says(t, env, 0, `"version":"dev"`, "", "version", "-json")
}

func TestCompletion(t *testing.T) {
	_, env := shop(t)
	for _, x := range []struct {
		words []string
		want  string
	}{
		{[]string{"st"}, "status\nstart\nstop\n"},
		{[]string{"stop", "/w"}, "/web\n/web/api\n"},
		{[]string{"stop", "/db", "/web/"}, "/web/api\n"},
		{[]string{"status", "/db", ""}, ""},
		{[]string{"stop", "-no"}, "-no-wait\n-no-color\n"},
		{[]string{"stop", "--no-w"}, "--no-wait\n"},
		{[]string{"wait", "/db", "-for", ""}, "up\nready\ndown\n"},
		{[]string{"wait", "-for=re"}, "-for=ready\n"},
		{[]string{"signal", "/db", "US"}, "USR1\nUSR2\n"},
		{[]string{"add", "-spec", ""}, ":files\n"},
		{[]string{"check", "x"}, ":files\n"},
		{[]string{"-config", "x"}, ":files\n"},
		{[]string{"-log-level", "de"}, "debug\n"},
		{[]string{"help", "wh"}, "why\n"},
		{[]string{"completion", ""}, "bash\nzsh\nfish\n"},
		{[]string{"nonsense", "-x", "y"}, ""},
	} {
		if got := says(t, env, 0, "", "", append([]string{"__complete"}, x.words...)...); got != x.want {
			t.Errorf("%q completes to %q, want %q", x.words, got, x.want)
		}
	}
	for _, shell := range shells {
		says(t, env, 0, "__complete", "", "completion", shell)
	}
}
