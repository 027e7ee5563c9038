package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// load parses a text that must be right.
func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse(filepath.Join(t.TempDir(), "tree.toml"), []byte(text))
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

// write makes files in a new directory and returns its path.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// messages are the lines of an error, without the directory.
func messages(t *testing.T, err error, dir string) []string {
	t.Helper()
	var ds Diagnostics
	if !errors.As(err, &ds) {
		t.Fatalf("%v (%T), want Diagnostics", err, err)
	}
	return strings.Split(strings.ReplaceAll(ds.Error(), dir+"/", ""), "\n")
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %#v\nwant %#v", what, got, want)
	}
}

// One golden file shows what becomes of every key.
func TestEveryKeyArrives(t *testing.T) {
	t.Chdir("testdata")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load("all.toml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "all.json", strings.ReplaceAll(string(text), here, "/DIR")+"\n")
}

func TestWarningsNameTheTraps(t *testing.T) {
	t.Chdir("testdata")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load("warnings.toml")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "warnings.txt", strings.ReplaceAll(c.Warnings.Error(), here, "/DIR")+"\n")
}

func TestAWorkerThatSaysNothingHasTheDefaults(t *testing.T) {
	c := load(t, "[[child]]\nname = 'w'\ncommand = ['sleep', '1']\n")
	equal(t, "name", c.Name, "tree")
	equal(t, "flags", c.Tree.Spec, tree.Spec{
		Strategy: tree.OneForOne, Intensity: tree.Unlimited, Period: 5, AutoShutdown: tree.Never,
		Children: []tree.ChildSpec{{
			ID: "w", Kind: tree.KindWorker, Restart: tree.Permanent,
			Shutdown: tree.Stop{Mode: tree.StopTime, Time: 10 * time.Second},
			Start:    tree.AtExec, Backoff: backoff.Default(),
		}},
	})
	w := c.Tree.Workers["w"]
	w.Places = nil
	equal(t, "process", w, &child.Process{Command: []string{"sleep", "1"}})
}

func TestIntensityLeftOutFollowsTheBackoff(t *testing.T) {
	paced := "[[child]]\nname = 'a'\ncommand = 'true'\n"
	unpaced := paced + "[[child]]\nname = 'b'\ncommand = 'true'\nbackoff = { kind = 'none' }\n"
	for text, want := range map[string]tree.Intensity{
		paced:                                tree.Unlimited,
		unpaced:                              1,
		"intensity = 0\n" + unpaced:          0,
		"intensity = 'infinity'\n" + unpaced: tree.Unlimited,
	} {
		c := load(t, text)
		if c.Tree.Spec.Intensity != want || c.Tree.Spec.Period != 5 {
			t.Errorf("%s\nintensity %d in %d s, want %d in 5", text, c.Tree.Spec.Intensity, c.Tree.Spec.Period, want)
		}
	}
}

// The limit counts all children together, at their smallest delays: 5 restarts
// of each of two fit into 5 s and the second that counts with them.
func TestALimitIsRefusedOnlyWhereItCannotBeReached(t *testing.T) {
	two := "period = '5s'\n[defaults]\nbackoff = { kind = 'constant', min = '1s', jitter = 0 }\n" +
		"[[child]]\nname = 'a'\ncommand = 'true'\n[[child]]\nname = 'b'\ncommand = 'true'\n"
	load(t, "intensity = 11\n"+two)
	if _, err := Parse("x.toml", []byte("intensity = 12\n"+two)); err == nil {
		t.Error("intensity 12 was not refused")
	}
	load(t, "intensity = 1000\nperiod = '1s'\n"+"[[child]]\nname = 'a'\ncommand = 'true'\nrestart = 'temporary'\n")
	load(t, "intensity = 1000\nperiod = '1s'\n"+"[[child]]\nname = 'a'\ncommand = 'true'\nbackoff = { jitter = 1 }\n")
	load(t, "intensity = 1000\nperiod = '1s'\nstrategy = 'simple_one_for_one'\n[[child]]\nname = 'a'\ncommand = 'true'\n")
	load(t, "intensity = 9000000000000000000\nperiod = '2000000h'\n[[child]]\nname = 'a'\ncommand = 'true'\nbackoff = { min = '1ns', max = '1ns', kind = 'constant' }\n")
}

func TestAStartCountsByItsReadiness(t *testing.T) {
	for keys, want := range map[string]tree.ChildSpec{
		"":                          {Start: tree.AtExec},
		"start_timeout = '5s'":      {Start: tree.AtExec},
		"ready = { notify = true }": {Start: tree.Probed, StartTimeout: time.Minute},
		"ready = { fd = 3 }":        {Start: tree.Probed, StartTimeout: time.Minute},
		"channel = 'frames'":        {Start: tree.Acknowledged, StartTimeout: time.Minute},
		"channel = 'none'":          {Start: tree.AtExec},
		"channel = 'lines'\nready = { tcp = 'localhost:80' }":                   {Start: tree.Probed, StartTimeout: time.Minute},
		"channel = 'lines'\nready = { channel = true }":                         {Start: tree.Acknowledged, StartTimeout: time.Minute},
		"ready = { tcp = '[::1]:80' }\nstart_timeout = '5s'":                    {Start: tree.Probed, StartTimeout: 5 * time.Second},
		"ready = { log = '^up' }\nstart_timeout = 'infinity'":                   {Start: tree.Probed},
		"channel = 'frames'\nstart_timeout = '1m'\nready = { exec = ['true'] }": {Start: tree.Probed, StartTimeout: time.Minute},
	} {
		got := load(t, "[[child]]\nname = 'w'\ncommand = 'true'\n"+keys).Tree.Spec.Children[0]
		if got.Start != want.Start || got.StartTimeout != want.StartTimeout {
			t.Errorf("%s: %v after at most %v, want %v after %v", keys, got.Start, got.StartTimeout, want.Start, want.StartTimeout)
		}
	}
}

// Of [defaults], restart and backoff reach supervisors and the rest workers only.
func TestDefaultsReachAllBelow(t *testing.T) {
	c := load(t, `
[defaults]
restart  = "transient"
shutdown = "3s"
backoff  = { kind = "none" }
[[child]]
name = "s"
  [[child.child]]
  name    = "w"
  command = "true"
  [[child.child]]
  name     = "other"
  command  = "true"
  restart  = "permanent"
  shutdown = "4s"
`)
	s := c.Tree.Spec.Children[0]
	equal(t, "supervisor", s, tree.ChildSpec{ID: "s", Kind: tree.KindSupervisor, Restart: tree.Transient,
		Shutdown: tree.Stop{Mode: tree.Infinity}, Start: tree.Acknowledged})
	w := c.Tree.Supervisors["s"].Spec.Children
	equal(t, "worker", w[0].Restart, tree.Transient)
	equal(t, "worker's time", w[0].Shutdown.Time, 3*time.Second)
	equal(t, "other", w[1].Restart, tree.Permanent)
	equal(t, "other's time", w[1].Shutdown.Time, 4*time.Second)
}

func TestAFileOfASubtree(t *testing.T) {
	dir := write(t, map[string]string{
		"tree.toml": `
[defaults]
shutdown = "3s"
dir      = "top"
[[child]]
tree     = "sub/web.toml"
strategy = "rest_for_one"
[[child]]
name = "again"
tree = "sub/web.toml"
`,
		"sub/web.toml": `
name      = "web"
strategy  = "one_for_all"
intensity = 4
[defaults]
dir = "mine"
[[child]]
name    = "api"
command = ["./api"]
`,
	})
	c, err := Load(filepath.Join(dir, "tree.toml"))
	if err != nil {
		t.Fatal(err)
	}
	web, again := c.Tree.Supervisors["web"], c.Tree.Supervisors["again"]
	equal(t, "the child's table wins", web.Spec.Strategy, tree.RestForOne)
	equal(t, "the file's root stands in", web.Spec.Intensity, tree.Intensity(4))
	equal(t, "one file twice", again.Spec.Strategy, tree.OneForAll)
	equal(t, "paths", []string{web.Path, again.Path}, []string{"/web", "/again"})
	api := web.Workers["api"]
	equal(t, "command", api.Command, []string{filepath.Join(dir, "sub/api")})
	equal(t, "the file's own defaults win", api.Dir, filepath.Join(dir, "sub/mine"))
	equal(t, "the outer defaults reach it", web.Spec.Children[0].Shutdown.Time, 3*time.Second)
	equal(t, "place", api.Places.Of("command"), filepath.Join(dir, "sub/web.toml")+":9:11")
	equal(t, "files", c.Files, []string{filepath.Join(dir, "tree.toml"), filepath.Join(dir, "sub/web.toml")})
}

func TestACommandWithoutASlashIsLeftToPATH(t *testing.T) {
	c := load(t, "[[child]]\nname = 'w'\ncommand = ['sleep', './x']\n")
	equal(t, "command", c.Tree.Workers["w"].Command, []string{"sleep", "./x"})
}

// A name that a file has not may come from anywhere, so it is made to fit.
func TestTheRootIsNamedAfterItsFile(t *testing.T) {
	for file, want := range map[string]string{
		"shop.toml": "shop", "/dev/fd/63": "63", "my shop.toml": "my-shop", ".toml": "tree", "größe": "gr--e", "a.b.toml": "a.b",
		strings.Repeat("x", 300): strings.Repeat("x", MaxName),
	} {
		if got := rootName(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestOddTextsAreRead(t *testing.T) {
	for what, text := range map[string]string{
		"nothing":           "",
		"a comment":         "# nothing",
		"CRLF":              "[[child]]\r\nname = 'w'\r\ncommand = 'true'\r\n",
		"a byte order mark": "\xef\xbb\xbf[[child]]\nname = 'w'\ncommand = 'true'\n",
		"inline tables":     "child = [{ name = 'w', command = 'true' }, { name = 's', child = [{ name = 'w', command = 'true' }] }]",
		"quoted keys":       "[[\"child\"]]\n'name' = 'w'\n\"command\" = 'true'\nbackoff.\"min\" = '1s'",
		"a table behind":    "[[child]]\nname = 'w'\ncommand = 'true'\n[child.backoff]\nmin = '1s'\n[child.env]\nA = ''",
		"brackets and dots": "[[child]]\nname = 'w' # [[[[ ....\ncommand = \"" + strings.Repeat("[{.", 100) + "\"",
		"long strings":      "[[child]]\nname = 'w'\ncommand = '''" + strings.Repeat("[{.\n'", 100) + "'''",
	} {
		if _, err := Parse("x.toml", []byte(text)); err != nil {
			t.Errorf("%s:\n%v", what, err)
		}
	}
}

func TestAFileThatCannotBeReadIsNotAWrongOne(t *testing.T) {
	dir := write(t, map[string]string{"wrong.toml": "x"})
	var readErr *ReadError
	for name, want := range map[string]error{"none.toml": fs.ErrNotExist, "": syscall.EISDIR} {
		_, err := Load(filepath.Join(dir, name))
		if !errors.As(err, &readErr) || !errors.Is(err, want) {
			t.Errorf("%q: %v, want a ReadError about %v", name, err, want)
		}
		if strings.Count(err.Error(), dir) != 1 {
			t.Errorf("%v: names the file other than once", err)
		}
	}
	if _, err := Load(filepath.Join(dir, "wrong.toml")); errors.As(err, &readErr) {
		t.Errorf("wrong.toml: %v, want Diagnostics", err)
	}
}

// Opening a FIFO that nobody writes would wait for ever.
func TestAnIncludedFileMustBeAFile(t *testing.T) {
	dir := write(t, map[string]string{"tree.toml": "[[child]]\ntree = 'fifo'\n"})
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(filepath.Join(dir, "tree.toml"))
	equal(t, "messages", messages(t, err, dir), []string{`tree.toml:2:8: reading tree "fifo": not a regular file`})
}

// A cycle is seen through a link, which gives a file another name.
func TestACycleThroughALink(t *testing.T) {
	dir := write(t, map[string]string{"tree.toml": "[[child]]\ntree = 'link.toml'\n"})
	if err := os.Symlink("tree.toml", filepath.Join(dir, "link.toml")); err != nil {
		t.Fatal(err)
	}
	_, err := Load(filepath.Join(dir, "tree.toml"))
	equal(t, "messages", messages(t, err, dir), []string{
		`tree.toml:2:8: tree "link.toml" is a cycle: the file includes itself, by way of tree.toml → tree.toml`})
}

func TestOneChildAlone(t *testing.T) {
	keys := "name = 'w'\ncommand = 'true'\nrestart = 'transient'\nsignificant = true\n"
	for what, text := range map[string]string{"keys in the root": keys, "a [[child]]": "[[child]]\n" + keys} {
		c, err := ParseChild("child.toml", []byte(text), "/web")
		if err != nil {
			t.Errorf("%s:\n%v", what, err)
			continue
		}
		if c.Spec.ID != "w" || !c.Spec.Significant || c.Worker == nil || c.Supervisor != nil {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestOneSupervisorAlone(t *testing.T) {
	dir := write(t, map[string]string{"child.toml": "name = 's'\n[[child]]\nname = 'w'\ncommand = ['./w']\n"})
	c, err := LoadChild(filepath.Join(dir, "child.toml"), "/web")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "path", c.Supervisor.Path, "/web/s")
	equal(t, "kind", c.Spec.Kind, tree.KindSupervisor)
	equal(t, "command", c.Supervisor.Workers["w"].Command, []string{filepath.Join(dir, "w")})
}

func TestOneChildAloneIsCheckedLikeAnyOther(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "c.toml:1:1: this child has neither command, as a worker has, nor strategy, tree or [[child.child]], as a supervisor has",
		"command = 'true'":        "c.toml:1:1: this child has no name",
		"name = 'w'\ncommand = 1": "c.toml:2:11: command is a string or an array of strings, not the number 1",
		"name = 'w'\ncommand = 'true'\nsignificant = true": "c.toml:3:15: a permanent child is always restarted and cannot be significant: set restart to transient, temporary or once",
		"name = 'w'\ncommand = 'true'\n[defaults]\n":       "c.toml:3:2: defaults does not belong here: it is a key of a file's root",
	} {
		_, err := ParseChild("c.toml", []byte(text), "/")
		if got := messages(t, err, "."); got[0] != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got[0], want)
		}
	}
	deep := strings.Repeat("/s", MaxDepth-1)
	_, err := ParseChild("c.toml", []byte("name = 's'\nstrategy = 'one_for_one'"), deep)
	equal(t, "messages", messages(t, err, "."), []string{"c.toml:1:1: this supervisor is on level 33 of the tree, and 32 is the deepest"})
}
