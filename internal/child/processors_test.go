package child

import (
	"slices"
	"testing"
)

// A node is told how many processors to use, and its workers must not notice.
func TestWorkersGetTheProcessorsThatTheTreeWasStartedWith(t *testing.T) {
	for _, started := range [][]string{
		{"HOME=/", "GOMAXPROCS=4"},
		{"HOME=/"},
	} {
		root := newEnvironment(started)
		root.reset()
		for _, kv := range withProcessors(nodeProcessors, root.get(envProcessors)) {
			root.set(kv)
		}
		if got := root.get(envProcessors); got != "1" {
			t.Errorf("a node started from %q runs on %q processors", started, got)
		}
		node := newEnvironment(root.scratch)
		slices.Sort(node.base)
		want := slices.Sorted(slices.Values(started))
		if !slices.Equal(node.base, want) {
			t.Errorf("a worker below a node inherits %q, want %q", node.base, want)
		}
	}
}

func TestASupervisorThroughWhichCallsPassSpeaks(t *testing.T) {
	plain := &Subtree{Workers: map[string]*Process{"a": {}, "b": {}}}
	if plain.Speaks() {
		t.Error("one with plain workers speaks")
	}
	for _, s := range []*Subtree{
		{Workers: map[string]*Process{"a": {}, "b": {Channel: "lines"}}},
		{Supervisors: map[string]*Subtree{"s": plain}},
	} {
		if !s.Speaks() {
			t.Errorf("%+v does not speak", s)
		}
	}
}
