package node

import (
	"errors"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// manager is a worker with manage = true.
func manager(_ *tree.ChildSpec, p *child.Process) { p.Manage = true }

// says has a worker call somebody, and is the answer.
func says[T any](tt *testTree, who, to, method string, payload any) (T, error) {
	return ask[T](tt, who, "one", order{To: to, Method: method, Payload: payload})
}

// offices is a tree with a worker that may manage, one that may not, and
// another supervisor.
func offices(t *testing.T) *testTree {
	t.Helper()
	far := worker(supervisor("/far"), "b", "puppet")
	return plant(t, under(worker(worker(supervisor("/"), "boss", "puppet", manager), "clerk", "puppet"), far))
}

func TestAWorkerWithManageStartsAndEndsChildren(t *testing.T) {
	tt := offices(t)
	for _, at := range []string{"/", "/far"} {
		new := strings.TrimSuffix(at, "/") + "/new"
		ref, err := says[tree.Ref](tt, "/boss", at, "start_child", "name = 'new'\ncommand = ['sleep', '1000']")
		if err != nil || ref != (tree.Ref{ID: "new", Incarnation: 1}) {
			t.Fatalf("start_child at %s: %+v, %v", at, ref, err)
		}
		tt.at(new)
		if _, err := says[any](tt, "/boss", at, "start_child", "name = 'new'\ncommand = ['sleep', '1000']"); code(err) != "already_started" {
			t.Errorf("start_child of one that runs: %v", err)
		}
		if _, err := says[any](tt, "/boss", at, "terminate_child", "new"); err != nil {
			t.Errorf("terminate_child at %s: %v", at, err)
		}
		tt.await("new to be down", func(f *journal.Fold) bool { _, s, _ := f.State(new); return s == journal.StateDown })
		if ref, err := says[tree.Ref](tt, "/boss", at, "restart_child", "new"); err != nil || ref.Incarnation != 2 {
			t.Errorf("restart_child at %s: %+v, %v", at, ref, err)
		}
		if _, err := says[any](tt, "/boss", at, "terminate_child", "new"); err != nil {
			t.Error(err)
		}
		if _, err := says[any](tt, "/boss", at, "delete_child", "new"); err != nil {
			t.Errorf("delete_child at %s: %v", at, err)
		}
	}
}

func TestAWorkerWithoutManageChangesNothing(t *testing.T) {
	tt := offices(t)
	for _, at := range []string{"/", "/far"} {
		for method, payload := range map[string]any{
			"start_child": "name = 'new'\ncommand = ['sleep', '1000']", "terminate_child": "b", "restart_child": "b", "delete_child": "b",
			ipc.VerbSuspend: nil, ipc.VerbResume: nil,
		} {
			if _, err := says[any](tt, "/clerk", at, method, payload); code(err) != ipc.CodeNotPermitted {
				t.Errorf("%s at %s by one that may not: %v", method, at, err)
			}
		}
		if _, err := says[any](tt, "/clerk", at, "which_children", nil); err != nil {
			t.Errorf("which_children at %s: %v", at, err)
		}
	}
	// Of another worker, too, only one may turn the verbs off and on.
	if _, err := says[any](tt, "/clerk", "/far/b", ipc.VerbSuspend, nil); code(err) != ipc.CodeNotPermitted {
		t.Errorf("%s of a worker by one that may not: %v", ipc.VerbSuspend, err)
	}
	if _, err := says[any](tt, "/boss", "/far/b", ipc.VerbSuspend, nil); code(err) != ipc.CodeNoMethod { // it is a puppet's answer: the call came there
		t.Errorf("%s of a worker by one that may: %v", ipc.VerbSuspend, err)
	}
	if b := tt.at("/far/b"); b.Incarnation != 1 {
		t.Errorf("b has become its life %d", b.Incarnation)
	}
}

func TestWhatAManagerAsksForMayBeWrong(t *testing.T) {
	tt := offices(t)
	for _, c := range []struct {
		payload    any
		word, says string
	}{
		{"name = 'new'\ncomand = 'true'", ipc.CodeBadRequest, `start_child:2:1: unknown key "comand": did you mean "command"?`},
		{"name = ", ipc.CodeBadRequest, "start_child:1"},
		{7, ipc.CodeBadRequest, "an array of arguments, or the TOML"},
		{[]string{"x"}, "badarg", ""}, // this supervisor has no instances
		{"name = 'new'\ncommand = ['/no/such/program']", "start_error", "/no/such/program"},
	} {
		_, err := says[any](tt, "/boss", "/", "start_child", c.payload)
		var e *CallError
		if !errors.As(err, &e) || e.Code != c.word || !strings.Contains(e.Message, c.says) {
			t.Errorf("start_child %v: %v", c.payload, err)
		}
	}
}

func TestAManagerStartsInstances(t *testing.T) {
	pool := worker(supervisor("/pool"), "job", "puppet")
	pool.Spec.Strategy = tree.SimpleOneForOne
	tt := plant(t, under(worker(supervisor("/"), "boss", "puppet", manager), pool))
	for i, want := range []string{"1", "2"} {
		ref, err := says[tree.Ref](tt, "/boss", "/pool", "start_child", []string{"more"})
		if err != nil || ref.ID != want {
			t.Fatalf("instance %d: %+v, %v", i, ref, err)
		}
	}
	if got := must[string](tt, "/pool/2", "echo", "here"); got != "here" {
		t.Error(got)
	}
	if _, err := says[any](tt, "/boss", "/pool", "terminate_child", "1"); err != nil {
		t.Error(err)
	}
}

// Who calls in from outside may change things on every node.
func TestAnOperatorsCallReachesEverySupervisor(t *testing.T) {
	tt := offices(t)
	must[any](tt, "/far", "terminate_child", "b")
	if got := must[tree.Ref](tt, "/far", "restart_child", "b"); got.Incarnation != 2 {
		t.Errorf("restart_child: %+v", got)
	}
}
