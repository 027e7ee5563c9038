package tree_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/supertrees/supervise/tree"
)

// crowd is a supervisor of many workers, all of them running.
func crowd(tb testing.TB, strategy tree.Strategy, n int) (*tree.Supervisor, []tree.Ref) {
	tb.Helper()
	spec := tree.Spec{Strategy: strategy, Intensity: tree.Unlimited, Period: 5}
	for i := range n {
		spec.Children = append(spec.Children, tree.ChildSpec{ID: strconv.Itoa(i), Shutdown: tree.Stop{Time: time.Second}})
	}
	s := tree.New(spec, 1)
	refs := make([]tree.Ref, n)
	actions := s.Step(0, tree.Boot{})
	for i := range refs {
		refs[i] = spawned(tb, actions)
		actions = s.Step(0, tree.Started{Ref: refs[i]})
	}
	return s, refs
}

func spawned(tb testing.TB, actions []tree.Action) tree.Ref {
	tb.Helper()
	for _, a := range actions {
		if spawn, ok := a.(tree.Spawn); ok {
			return spawn.Ref
		}
	}
	tb.Fatalf("no spawn in %v", actions)
	return tree.Ref{}
}

// massDeath kills all at once and has them started again.
func massDeath(tb testing.TB, s *tree.Supervisor, refs []tree.Ref) {
	tb.Helper()
	var actions []tree.Action // the first start waits until it is answered
	for _, ref := range refs {
		actions = append(actions, s.Step(0, tree.Exited{Ref: ref, Reason: tree.ReasonKilled})...)
	}
	for i := range refs {
		refs[i] = spawned(tb, actions)
		actions = s.Step(0, tree.Started{Ref: refs[i]})
	}
}

// massStop ends a supervisor in order.
func massStop(tb testing.TB, s *tree.Supervisor, refs []tree.Ref) {
	tb.Helper()
	s.Step(0, tree.Shutdown{})
	for i := len(refs) - 1; i >= 0; i-- {
		s.Step(0, tree.Exited{Ref: refs[i], Reason: tree.ReasonShutdown})
	}
	if s.Mode() != tree.Ended {
		tb.Fatalf("the supervisor is %v", s.Mode())
	}
}

func TestAThousandChildrenDieAtOnceAndAreReplaced(t *testing.T) {
	for _, strategy := range []tree.Strategy{tree.OneForOne, tree.OneForAll, tree.RestForOne} {
		s, refs := crowd(t, strategy, 1000)
		massDeath(t, s, refs)
		if s.Mode() != tree.Idle {
			t.Fatalf("%v: the supervisor is %v", strategy, s.Mode())
		}
		for _, c := range s.Children() {
			if c.State != tree.StateRunning || c.Ref.Incarnation != 2 {
				t.Fatalf("%v: %v is %v", strategy, c.Ref, c.State)
			}
		}
		massStop(t, s, refs)
	}
}

// The time a child must not grow with their number.
func BenchmarkMass(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				s, refs := crowd(b, tree.OneForOne, n)
				massDeath(b, s, refs)
				massStop(b, s, refs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/child")
		})
	}
}
