package node

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
)

// register has a worker ask for a name, and returns the code of what it got.
func register(tt *testTree, who, method, name string) string {
	tt.t.Helper()
	_, err := ask[any](tt, who, "one", order{To: "@1.0", Method: method, Payload: ipc.Name{Name: name}})
	return code(err)
}

// Callers of a name whose holder is killed again and again speak with a life
// that had registered, or with nobody.
func TestANameWhoseHolderIsKilledUnderCallers(t *testing.T) {
	far := worker(supervisor("/far"), "b", "named bob")
	tt := plant(t, under(worker(supervisor("/"), "a", "puppet"), far))
	must[bool](tt, "/a", "bombard", order{To: "bob", N: 20})
	n := long(100, 1000)
	for i := range n {
		tt.awaitLife("/far/b", uint64(i+1))
		tt.kill("/far/b")
	}
	tt.awaitLife("/far/b", uint64(n+1))
	got := must[map[string]int](tt, "/a", "enough", nil)
	only(t, "calls to a name that dies", got, "ok", "down", "noproc")
	if got["ok"] == 0 {
		t.Errorf("no call had a reply: %v", got)
	}
	lines, _ := tt.journal.Read(0, nil)
	for r := range records(lines) {
		if r.Event == journal.Failed {
			t.Errorf("a start failed: %s", r.Error)
		}
	}
}

// A life that is killed between its request for a name and the answer leaves no
// name behind, or its successor could not have it.
func TestOneThatIsKilledBeforeItKnowsThatItHasTheName(t *testing.T) {
	n := long(50, 500)
	far := worker(supervisor("/far"), "b", fmt.Sprintf("registers and is killed until %d", n))
	tt := plant(t, under(supervisor("/"), far))
	tt.kill("/far/b")
	tt.awaitLife("/far/b", uint64(n))
	if life := tt.at("/far/b").Incarnation; life != uint64(n) {
		t.Errorf("the first that waits for its answer has the name: life %d has it", life)
	}
	names, err := tt.Names(t.Context())
	if err != nil || len(names) != 1 || names[0].Name != "fated" || names[0].Incarnation != uint64(n) {
		t.Errorf("the names are %+v, %v", names, err)
	}
}

func TestANameIsFreeBeforeTheStarterHearsThatTheInitFailed(t *testing.T) {
	far := worker(supervisor("/far"), "a", "puppet")
	tt := plant(t, under(worker(supervisor("/"), "b", "registers and fails"), far))
	must[any](tt, "/", "terminate_child", "b")
	for i := range long(30, 300) {
		if _, err := ask[any](tt, "/", "restart_child", "b"); err == nil {
			t.Fatal("a start that failed was answered with a child")
		}
		if got := register(tt, "/far/a", ipc.VerbRegister, "fated"); got != "" {
			t.Fatalf("after failed start %d the name is not free: %s", i, got)
		}
		register(tt, "/far/a", ipc.VerbUnregister, "fated")
	}
}

func TestOfTwoWhoRegisterAtOnceOneHasTheName(t *testing.T) {
	left, right := worker(supervisor("/left"), "a", "puppet"), worker(supervisor("/right"), "b", "puppet")
	tt := plant(t, under(under(supervisor("/"), left), right))
	rivals := []string{"/left/a", "/right/b"}
	won := map[string]int{}
	for range long(200, 2000) {
		got := make([]string, len(rivals))
		var both sync.WaitGroup
		for i, who := range rivals {
			both.Go(func() { got[i] = register(tt, who, ipc.VerbRegister, "crown") })
		}
		both.Wait()
		winner := slices.Index(got, "")
		if winner < 0 || got[1-winner] != ipc.CodeAlreadyRegistered {
			t.Fatalf("the two got %q", got)
		}
		won[rivals[winner]]++
		if got := register(tt, rivals[winner], ipc.VerbUnregister, "crown"); got != "" {
			t.Fatalf("giving it back: %s", got)
		}
	}
	t.Logf("who had it: %v", won)
}

// The node between a worker and the root dies while the worker's requests for a
// name, and the answers, are on their way: the name is nobody's.
func TestANodeDiesBetweenARequestForANameAndItsAnswer(t *testing.T) {
	mid := under(supervisor("/mid"), worker(supervisor("/mid/deep"), "a", "puppet"))
	tt := plant(t, under(worker(supervisor("/"), "b", "puppet"), mid))
	for i := range long(20, 200) {
		tt.awaitLife("/mid/deep/a", uint64(i+1))
		must[bool](tt, "/mid/deep/a", "churn", order{To: "fated"})
		tt.kill("/mid")
		tt.awaitLife("/mid/deep/a", uint64(i+2))
		if got := register(tt, "/b", ipc.VerbRegister, "fated"); got != "" {
			t.Fatalf("after death %d the name is not free: %s", i, got)
		}
		register(tt, "/b", ipc.VerbUnregister, "fated")
	}
}
