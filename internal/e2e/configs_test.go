package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
)

// examples is a copy of configs/, so that a test may write into it.
func examples(t *testing.T) string {
	t.Helper()
	dir := scratch(t)
	if err := os.CopyFS(dir, os.DirFS("../../configs")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// story says what a test sees of each example beyond its boot and its end.
type story func(t *testing.T, r *running)

func stories() map[string]story {
	return map[string]story{
		"one_for_one.toml":        oneForOne,
		"one_for_all.toml":        oneForAll,
		"rest_for_one.toml":       restForOne,
		"simple_one_for_one.toml": simpleOneForOne,
		"container.toml":          container,
		"demo.toml":               nil, // TestTheDemoTellsItsStory
		"web.toml":                nil, // TestTheWebStack
	}
}

func TestEveryExampleBootsAndEnds(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.toml")
	if err != nil || len(files) < len(stories()) {
		t.Fatalf("the examples are %q, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		tell, told := stories()[name]
		if !told {
			t.Errorf("%s has no story here", name)
		}
		if tell == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := launchFile(t, examples(t), name)
			r.await("/", journal.Start)
			tell(t, r)
			r.signal(syscall.SIGTERM)
			r.endsWith(0)
		})
	}
}

// Every mistake of a file at once, each with its place, and nothing is started.
func TestAWrongFileIsRefusedAndNothingStarts(t *testing.T) {
	t.Parallel()
	dir := examples(t)
	files, err := filepath.Glob(filepath.Join(dir, "bad", "*.toml"))
	if err != nil || len(files) < 60 {
		t.Fatalf("there are %d bad files, %v", len(files), err)
	}
	for _, file := range files {
		golden, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		r := launchFile(t, filepath.Dir(file), filepath.Base(file))
		r.endsWith(78)
		if said := r.stderr.String(); said != string(golden) || r.stdout.String() != "" {
			t.Errorf("%s: it prints %q and says\n%s\nwant\n%s", filepath.Base(file), r.stdout, said, golden)
		}
	}
}

func oneForOne(_ *testing.T, r *running) {
	left := r.node("/left").Pid
	r.does(0, "signal", "/crashing", "KILL")
	r.await("/crashing", journal.Start, 2)
	if now := r.node("/left"); now.Pid != left {
		r.t.Errorf("a neighbour has noticed: %+v", now.Node)
	}
}

func oneForAll(_ *testing.T, r *running) {
	r.does(0, "signal", "/queue", "KILL")
	for _, path := range []string{"/producer", "/queue", "/consumer"} {
		r.await(path, journal.Start, 2)
	}
}

func restForOne(_ *testing.T, r *running) {
	r.does(0, "signal", "/cache", "KILL")
	r.await("/cache", journal.Start, 2)
	r.await("/web", journal.Start, 2)
	if n := r.node("/database"); n.Incarnation != 1 {
		r.t.Errorf("the child before it is %+v", n.Node)
	}
}

func simpleOneForOne(_ *testing.T, r *running) {
	r.does(0, "add", "/pool")
	r.does(0, "add", "/pool", "--", "two", "three")
	r.stdout.says(r.t, "/pool/2 | /pool/2 works on: two three")
	r.does(0, "stop", "/pool/1")
	r.does(1, "status", "/pool/1")
}

func container(_ *testing.T, r *running) {
	r.stdout.says(r.t, "/app | serving") // its start is known before its output is
	said := r.stdout.String()
	if migrated, serving := strings.Index(said, "/migrate | migrated"), strings.Index(said, "/app | serving"); migrated < 0 || serving >= 0 && serving < migrated {
		r.t.Errorf("the app did not wait for its migration:\n%s", said)
	}
}

func TestTheDemoTellsItsStory(t *testing.T) {
	t.Parallel()
	r := launchFile(t, examples(t), "demo.toml")
	r.endsWith(0)
	said := r.stdout.String()
	for _, line := range []string{
		"/steady | I run from the beginning to the end",
		"/crasher | A crash: I exit with status 1.",
		"/crasher | A restart: I am incarnation 2",
		"/team/partner | I am incarnation 2",
		"/team/trouble | Another crash: that is one too many.",
		"/team/trouble | I am incarnation 3, in a new /team",
		"/story | The end:",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("the demo does not say %q:\n%s", line, said)
		}
	}
	if strings.Count(said, "/steady | ") != 1 {
		t.Errorf("the steady worker was disturbed:\n%s", said)
	}
	explained := r.stderr.String()
	for _, line := range []string{
		"worker ended with status 1: abnormal: path=/crasher",
		"gives up: to restart trouble would be more than 1 restart in 5 s",
		"worker ended with status 0: normal: path=/story",
		"the whole tree has ended, with status 0: its significant child story ended",
	} {
		if !strings.Contains(explained, line) {
			t.Errorf("the log does not say %q:\n%s", line, explained)
		}
	}
}

// The real servers, with a worker in Go between them.
func TestTheWebStack(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server", "nginx")
	for _, port := range []string{"17001", "17002", "17080"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatalf("the example's port is taken: %v", err)
		}
		l.Close()
	}
	dir := examples(t)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "web/bin/counter"), "../../configs/web/worker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the worker: %v\n%s", err, out)
	}
	r := launchFile(t, dir, "web.toml", with("TMPDIR="+dir))
	r.await("/", journal.Start)

	first := visit(t)
	if second := visit(t); second != first+1 {
		t.Errorf("the second visit is number %d, after number %d", second, first)
	}

	// A redis that dies takes its users with it, by rest_for_one.
	redis := r.node("/redis").Pid
	syscall.Kill(redis, syscall.SIGKILL)
	for _, path := range []string{"/redis", "/counter", "/nginx"} {
		r.await(path, journal.Start, 2)
	}
	if again := visit(t); again != 1 {
		t.Errorf("in the new redis the first visit is number %d", again)
	}

	// A worker that dies takes nginx with it, and redis keeps its count.
	syscall.Kill(r.node("/counter").Pid, syscall.SIGKILL)
	r.await("/nginx", journal.Start, 3)
	if again := visit(t); again != 2 {
		t.Errorf("after the counter's restart the visit is number %d", again)
	}
	if n := r.node("/redis"); n.Incarnation != 2 {
		t.Errorf("the counter has taken redis with it: %+v", n.Node)
	}
	r.does(0, "shutdown")
	r.endsWith(0)
}

// visit asks nginx for the page, and reads the number of the visit in it.
func visit(t *testing.T) (number int) {
	t.Helper()
	answer, err := http.Get("http://127.0.0.1:17080/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("nginx answers %s, %q, %v", answer.Status, page, err)
	}
	if _, err := fmt.Sscan(regexp.MustCompile(`\d+`).FindString(string(page)), &number); err != nil {
		t.Fatalf("there is no number in the page %q", page)
	}
	return number
}
