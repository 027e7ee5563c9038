package tree_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/supertrees/supervise/tree"
)

// A spec crosses a pipe as JSON, with OTP's words in it.
func TestASpecIsTheSameAfterAPipe(t *testing.T) {
	spec := tree.Spec{
		Strategy: tree.RestForOne, Intensity: tree.Unlimited, Period: 5, AutoShutdown: tree.AllSignificant,
		Children: []tree.ChildSpec{{
			ID: "a", Kind: tree.KindSupervisor, Restart: tree.Once, Significant: true, Start: tree.Probed,
			Shutdown: tree.Stop{Mode: tree.StopTime, Time: time.Second}, StartTimeout: time.Minute, Program: 7,
		}},
		Incarnations: map[string]uint64{"a": 3},
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var back tree.Spec
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("%s came back as %s (%v)", text, again, err)
	}
	if back.Strategy != tree.RestForOne || back.Children[0].Restart != tree.Once || back.Children[0].Start != tree.Probed {
		t.Errorf("words were lost: %s", text)
	}
}

func TestAWrongWordIsNamedWithTheRightOnes(t *testing.T) {
	err := new(tree.Restart).UnmarshalText([]byte("allways"))
	if err == nil || err.Error() != `restart "allways" is none of permanent, transient, temporary, once` {
		t.Errorf("got %v", err)
	}
	if got := tree.Strategy(200).String(); got != "strategy(200)" {
		t.Errorf("a value without a word is %q", got)
	}
}

// The first error wins, in OTP's order, in OTP's words.
func TestCheckFindsTheFirstErrorInOTPsOrder(t *testing.T) {
	good := func() tree.Spec {
		return tree.Spec{Intensity: 1, Period: 5, AutoShutdown: tree.AnySignificant,
			Children: []tree.ChildSpec{{ID: "a"}, {ID: "b", Restart: tree.Transient, Significant: true}}}
	}
	for want, spoil := range map[string]func(*tree.Spec){
		"":                                                     func(*tree.Spec) {},
		"supervisor_data:invalid_strategy":                     func(s *tree.Spec) { s.Strategy, s.Period = 99, 0 },
		"supervisor_data:invalid_intensity":                    func(s *tree.Spec) { s.Intensity, s.Period = -2, 0 },
		"supervisor_data:invalid_period":                       func(s *tree.Spec) { s.Period, s.AutoShutdown = 0, 99 },
		"supervisor_data:invalid_auto_shutdown":                func(s *tree.Spec) { s.AutoShutdown, s.Children[0].ID = 99, "" },
		"bad_start_spec":                                       func(s *tree.Spec) { s.Strategy, s.Children[0].ID = tree.SimpleOneForOne, "" },
		"start_spec:missing_id":                                func(s *tree.Spec) { s.Children[0].ID, s.Children[0].Flaw = "", tree.FlawNoStart },
		"start_spec:missing_start":                             func(s *tree.Spec) { s.Children[0].Flaw, s.Children[0].Restart = tree.FlawNoStart, 99 },
		"start_spec:invalid_restart_type":                      func(s *tree.Spec) { s.Children[0].Restart, s.Children[0].Flaw = 99, tree.FlawSignificant },
		"start_spec:invalid_significant":                       func(s *tree.Spec) { s.Children[0].Flaw, s.Children[0].Kind = tree.FlawSignificant, 99 },
		"start_spec:bad_combination:auto_shutdown,significant": func(s *tree.Spec) { s.AutoShutdown, s.Children[1].Restart = tree.Never, tree.Permanent },
		"start_spec:bad_combination:restart,significant":       func(s *tree.Spec) { s.Children[1].Restart, s.Children[1].Kind = tree.Permanent, 99 },
		"start_spec:invalid_child_type":                        func(s *tree.Spec) { s.Children[0].Kind, s.Children[0].Shutdown.Mode = 99, 99 },
		"start_spec:invalid_shutdown":                          func(s *tree.Spec) { s.Children[0].Shutdown.Time = -1 },
		"start_spec:duplicate_child_name:b":                    func(s *tree.Spec) { s.Children[0].ID = "b" },
	} {
		spec := good()
		spoil(&spec)
		got := ""
		if err := tree.Check(spec); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
