package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const scenarios = "../sim/testdata"

// virtualOnly are the steps that real processes cannot take: there is no clock
// to set, and nothing to suspend but by a request of the language's own.
var virtualOnly = regexp.MustCompile(`"op": ?"(advance|suspend|resume|change_spec|check_childspecs)"`)

// OTP's recorded traces come out of real nodes and real workers too, byte for byte.
func TestScenariosOnRealProcessesLeaveOTPsTraces(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(scenarios, "scenarios", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if virtualOnly.Match(text) {
			continue
		}
		played++
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(scenarios, "golden", name+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program(), "simulate", "-processes", file)
			cmd.Env = environment(scratch(t), "stage")
			got, said := finishes(t, cmd, 0)
			if !bytes.Equal([]byte(got), want) {
				t.Errorf("the trace is\n%s\nwant\n%s\n%s", got, want, said)
			}
		})
	}
	if played < 100 {
		t.Errorf("only %d scenarios were played", played)
	}
}
