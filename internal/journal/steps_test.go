package journal

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/tree"
)

// A supervisor with one child that crashes and is restarted, recorded.
func recorded(t *testing.T) []byte {
	t.Helper()
	spec := tree.Spec{Intensity: 3, Period: 5, Children: []tree.ChildSpec{{ID: "a"}}}
	var file bytes.Buffer
	record := RecordSteps(&file, "/", spec, 7)
	core := tree.New(spec, 7)
	ref := tree.Ref{ID: "a", Incarnation: 1}
	for i, e := range []tree.Event{
		tree.Boot{}, tree.Started{Ref: ref},
		tree.Exited{Ref: ref, Reason: tree.ReasonAbnormal},
		tree.WhichChildren{Tag: 9}, tree.Shutdown{},
	} {
		now := time.Duration(i) * time.Second
		record.Write(now, e, core.Step(now, e))
	}
	if err := record.Err(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestARecordPlaysAgain(t *testing.T) {
	core, err := Replay(bytes.NewReader(recorded(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got := core.Children(); len(got) != 1 || got[0].Ref.Incarnation != 2 {
		t.Errorf("after the replay the children are %+v, want the second life of a", got)
	}
}

func TestARecordThatWasCutShortPlaysToItsLastWholeStep(t *testing.T) {
	whole := recorded(t)
	if _, err := Replay(bytes.NewReader(whole[:len(whole)-10])); err != nil {
		t.Error(err)
	}
}

func TestADifferentDecisionIsNamed(t *testing.T) {
	forged := strings.Replace(string(recorded(t)), `"incarnation":2`, `"incarnation":5`, 1)
	_, err := Replay(strings.NewReader(forged))
	if err == nil || !strings.Contains(err.Error(), "step 3: Exited") {
		t.Errorf("replaying a forged record: %v, want a difference in step 3", err)
	}
}
