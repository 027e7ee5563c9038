package journal

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is a store with a root, a supervisor /web and two workers that run.
func sample(t *testing.T) *Store {
	t.Helper()
	limit := int64(3)
	s := &Store{}
	say(s, Record{Event: Add, Path: "/", Kind: "supervisor", Name: "shop", Strategy: "one_for_one", Containment: "basic"},
		Record{Event: Spawn, Path: "/", Kind: "supervisor", Pid: 1, Incarnation: 1},
		Record{Event: Add, Path: "/web", Kind: "supervisor", Restart: "permanent", Strategy: "rest_for_one", Intensity: &limit, Period: 5},
		Record{Event: Spawn, Path: "/web", Kind: "supervisor", Pid: 2, Incarnation: 1},
		Record{Event: Add, Path: "/web/db", Kind: "worker", Restart: "permanent"},
		Record{Event: Spawn, Path: "/web/db", Kind: "worker", Pid: 3, Incarnation: 1},
		Record{Event: Start, Path: "/web/db", Kind: "worker", Pid: 3, Incarnation: 1},
		Record{Event: Add, Path: "/web/api", Kind: "worker", Restart: "transient"},
		Record{Event: Spawn, Path: "/web/api", Kind: "worker", Pid: 4, Incarnation: 1},
		Record{Event: Start, Path: "/web/api", Kind: "worker", Pid: 4, Incarnation: 1},
		Record{Event: Start, Path: "/web", Kind: "supervisor", Pid: 2, Incarnation: 1},
		Record{Event: Start, Path: "/", Kind: "supervisor", Pid: 1, Incarnation: 1})
	return s
}

func say(s *Store, records ...Record) {
	for _, r := range records {
		if r.Time.IsZero() {
			r.Time = noon
		}
		s.Append(r)
	}
}

func want(t *testing.T, s *Store, at string, state State, pid, restarts int) *Node {
	t.Helper()
	n := s.Status(at)
	if n == nil {
		t.Fatalf("%s is not there", at)
	}
	if n.State != state || n.Pid != pid || n.Restarts != restarts {
		t.Errorf("%s: %s, pid %d, %d restarts; want %s, pid %d, %d restarts", at, n.State, n.Pid, n.Restarts, state, pid, restarts)
	}
	return n
}

func TestStatusIsTheContractsObject(t *testing.T) {
	s := sample(t)
	status := 1
	say(s, Record{Event: Exit, Path: "/web/api", Kind: "worker", Pid: 4, Incarnation: 1, Reason: "abnormal", Status: &status})
	text, err := json.Marshal(s.Status("/"))
	if err != nil {
		t.Fatal(err)
	}
	const wanted = `{"path":"/","name":"shop","kind":"supervisor","state":"running","pid":1,"incarnation":1,"restarts":0,` +
		`"started_at":"2026-03-01T12:00:00Z","strategy":"one_for_one","containment":"basic","children":[` +
		`{"path":"/web","name":"web","kind":"supervisor","state":"running","pid":2,"incarnation":1,"restarts":0,` +
		`"started_at":"2026-03-01T12:00:00Z","restart":"permanent","strategy":"rest_for_one","children":[` +
		`{"path":"/web/db","name":"db","kind":"worker","state":"running","pid":3,"incarnation":1,"restarts":0,` +
		`"started_at":"2026-03-01T12:00:00Z","restart":"permanent"},` +
		`{"path":"/web/api","name":"api","kind":"worker","state":"waiting","incarnation":1,"restarts":0,` +
		`"last_exit":{"reason":"abnormal","status":1,"at":"2026-03-01T12:00:00Z"},"restart":"transient"}]}]}`
	if string(text) != wanted {
		t.Errorf("got  %s\nwant %s", text, wanted)
	}
}

func TestACrashIsARestart(t *testing.T) {
	s, delay := sample(t), 0.5
	say(s, Record{Event: Exit, Path: "/web/api", Pid: 4, Incarnation: 1, Reason: "killed", Signal: "KILL"})
	want(t, s, "/web/api", StateWaiting, 0, 0)
	say(s, Record{Event: Backoff, Path: "/web/api", Incarnation: 1, Delay: &delay, Restarts: 1})
	n := want(t, s, "/web/api", StateWaiting, 0, 0)
	if *n.Delay != 0.5 || !n.NextTry.Equal(noon.Add(500*time.Millisecond)) {
		t.Errorf("delay %v, next try %v", *n.Delay, n.NextTry)
	}
	say(s, Record{Event: Spawn, Path: "/web/api", Pid: 5, Incarnation: 2})
	n = want(t, s, "/web/api", StateStarting, 5, 1)
	if n.Delay != nil || !n.NextTry.IsZero() {
		t.Error("it still waits")
	}
	say(s, Record{Event: Start, Path: "/web/api", Pid: 5, Incarnation: 2})
	if n = want(t, s, "/web/api", StateRunning, 5, 1); n.LastExit.Signal != "KILL" || n.LastExit.Status != nil {
		t.Errorf("last exit %+v", n.LastExit)
	}
}

func TestAStopAndAStartByHandAreNoRestart(t *testing.T) {
	s, status := sample(t), 0
	say(s, Record{Event: Stopping, Path: "/web/api", Incarnation: 1})
	want(t, s, "/web/api", StateStopping, 4, 0)
	say(s, Record{Event: Exit, Path: "/web/api", Incarnation: 1, Reason: "shutdown", Status: &status})
	want(t, s, "/web/api", StateDown, 0, 0)
	s.View(func(f *Fold) {
		if _, settled := f.Settled("/web/api"); settled {
			t.Error("settled before the decision came")
		}
	})
	say(s, Record{Event: Down, Path: "/web/api"})
	s.View(func(f *Fold) {
		if _, settled := f.Settled("/web/api"); !settled {
			t.Error("not settled")
		}
	})
	say(s, Record{Event: Spawn, Path: "/web/api", Pid: 6, Incarnation: 2})
	want(t, s, "/web/api", StateStarting, 6, 0)
}

func TestAKilledNodeTakesAllBelowItWithIt(t *testing.T) {
	s := sample(t)
	say(s, Record{Event: Add, Path: "/web/extra", Kind: "worker", Restart: "temporary"},
		Record{Event: Spawn, Path: "/web/extra", Pid: 9, Incarnation: 1},
		Record{Event: Exit, Path: "/web", Kind: "supervisor", Pid: 2, Incarnation: 1, Reason: "killed", Signal: "KILL"})
	var told []string
	for _, r := range records(t, s, 14) {
		told = append(told, r.Event+" "+r.Path)
	}
	wanted := []string{"exit /web/extra", "down /web/extra", "exit /web/api", "down /web/api", "exit /web/db", "down /web/db", "exit /web"}
	if !slices.Equal(told, wanted) {
		t.Errorf("told %q, want %q", told, wanted)
	}
	want(t, s, "/web", StateWaiting, 0, 0)
	say(s, Record{Event: Spawn, Path: "/web", Kind: "supervisor", Pid: 12, Incarnation: 2},
		Record{Event: Add, Path: "/web/db", Kind: "worker", Restart: "permanent"},
		Record{Event: Add, Path: "/web/api", Kind: "worker", Restart: "transient"},
		Record{Event: Spawn, Path: "/web/db", Pid: 13, Incarnation: 2},
		Record{Event: Start, Path: "/web", Kind: "supervisor", Pid: 12, Incarnation: 2})
	want(t, s, "/web", StateRunning, 12, 1)
	want(t, s, "/web/db", StateStarting, 13, 0)
	if s.Status("/web/extra") != nil {
		t.Error("what the new node did not add is still there")
	}
}

func TestAStuckChildKeepsItsPidsUntilItEnds(t *testing.T) {
	s := sample(t)
	say(s, Record{Event: Stopping, Path: "/web/db"}, Record{Event: Kill, Path: "/web/db"},
		Record{Event: Stuck, Path: "/web/db", Incarnation: 1, Pids: []int{3, 33}})
	if n := want(t, s, "/web/db", StateStuck, 3, 0); !slices.Equal(n.Pids, []int{3, 33}) {
		t.Errorf("pids %v", n.Pids)
	}
	text, _ := s.Why("/web/db", noon)
	if !strings.Contains(text, "pids 3, 33 are still there") {
		t.Error(text)
	}
	say(s, Record{Event: Exit, Path: "/web/db", Reason: "killed", Signal: "KILL"}, Record{Event: Down, Path: "/web/db"})
	if n := want(t, s, "/web/db", StateDown, 0, 0); n.Pids != nil {
		t.Errorf("pids %v", n.Pids)
	}
}

func TestAnUnknownPathOrEventChangesNothing(t *testing.T) {
	s := sample(t)
	before, _ := json.Marshal(s.Status("/"))
	for _, at := range []string{"", "web", "/web/", "/../x", "//"} {
		say(s, Record{Event: Add, Path: at, Kind: "worker"})
	}
	say(s, Record{Event: "later_invention", Path: "/web"}, Record{Event: Exit, Path: "/nobody"}, Record{Event: Remove, Path: "/nobody"})
	after, _ := json.Marshal(s.Status("/"))
	if string(before) != string(after) {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

func TestWhyTellsTheWholeStory(t *testing.T) {
	s, status, delay := sample(t), 7, 1.5
	say(s, Record{Event: Exit, Path: "/web/db", Incarnation: 1, Reason: "abnormal", Status: &status},
		Record{Event: Backoff, Path: "/web/db", Incarnation: 1, Delay: &delay, Restarts: 2, Message: "restart 2 of 3"})
	text, known := s.Why("/web/db", noon.Add(time.Second))
	const wanted = "/web/db is waiting. Its last process ended abnormal, with status 7, 1.0s ago (2026-03-01T12:00:00Z). " +
		"It is permanent: started again however it ends, unless it is stopped by hand. " +
		"Its supervisor gives up at more than 3 restarts in 5 s; it has counted 2 so far, the last 1.0s ago. " +
		"The next try is in 500ms. restart 2 of 3."
	if !known || text != wanted {
		t.Errorf("got  %s\nwant %s", text, wanted)
	}
	say(s, Record{Event: GiveUp, Path: "/web", Child: "db"}, Record{Event: Exit, Path: "/web", Reason: "shutdown", Status: new(int)})
	text, _ = s.Why("/web", noon.Add(time.Second))
	if !strings.Contains(text, "It gave up 1.0s ago: restarting db was more than its limit of 3 restarts in 5 s.") {
		t.Error(text)
	}
	if _, known := s.Why("/nobody", noon); known {
		t.Error("it explains what is not there")
	}
}

func TestTheCauseOfAKillIsOfTheLastEndAlone(t *testing.T) {
	s := sample(t)
	for _, cause := range []string{OOM, ""} {
		say(s, Record{Event: Exit, Path: "/web/api", Kind: "worker", Incarnation: 1, Reason: "killed", Signal: "KILL", Cause: cause})
		if last := s.Status("/web/api").LastExit; last.Cause != cause {
			t.Errorf("after one with the cause %q the last exit is %+v", cause, last)
		}
		if text, _ := s.Why("/web/api", noon); strings.Contains(text, "by signal KILL, which the kernel sent for want of memory (oom), ") != (cause == OOM) {
			t.Errorf("after one with the cause %q why says %q", cause, text)
		}
	}
}

func TestTenThousandChildrenFit(t *testing.T) {
	const children, most = 10_000, 700
	var before, after runtime.MemStats
	f := &Fold{}
	runtime.GC()
	runtime.ReadMemStats(&before)
	f.Apply(&Record{Event: Add, Path: "/", Kind: "supervisor"})
	status := 1
	for i := range children {
		at := fmt.Sprintf("/worker-%d", i)
		f.Apply(&Record{Event: Add, Path: at, Kind: "worker", Restart: "permanent", Time: noon})
		f.Apply(&Record{Event: Spawn, Path: at, Kind: "worker", Pid: i + 2, Incarnation: 1, Time: noon})
		f.Apply(&Record{Event: Start, Path: at, Kind: "worker", Pid: i + 2, Incarnation: 1, Time: noon})
		f.Apply(&Record{Event: Exit, Path: at, Kind: "worker", Reason: "abnormal", Status: &status, Incarnation: 1, Time: noon})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / children
	t.Logf("%d bytes a child", each)
	if each > most {
		t.Errorf("a child costs %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(f)
}

// Whatever the order of the records, the fold stays a tree and loses nobody.
func TestAnyStreamLeavesATree(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	paths := []string{"/", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f"}
	events := []string{Add, Spawn, Start, Exit, Backoff, Failed, Ignore, Stopping, Kill, Stuck, Down, Remove, Report, GiveUp, Status}
	kinds := []string{"supervisor", "worker", ""}
	for range 50 {
		s := &Store{}
		for range 100 {
			say(s, Record{Event: events[random.IntN(len(events))], Path: paths[random.IntN(len(paths))], Kind: kinds[random.IntN(3)],
				Pid: random.IntN(3), Incarnation: random.Uint64N(4), Child: "b", Restarts: random.IntN(3)})
			s.View(func(f *Fold) {
				reached := len(f.Paths())
				if reached != len(f.nodes) {
					t.Fatalf("%d of %d nodes hang on the root", reached, len(f.nodes))
				}
				for at := range f.nodes {
					f.why(at, noon)
					if n := f.Status(at); n.Path != at || n.State == StateDown && n.Pid != 0 {
						t.Fatalf("%s is %+v", at, n)
					}
				}
			})
		}
	}
}
