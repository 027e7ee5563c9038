package sim

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func virtualWorld() (World, error) { return NewVirtual(), nil }

func TestEachOfSeveralTracesIsNamed(t *testing.T) {
	var out bytes.Buffer
	files := []string{"testdata/scenarios/one-for-all.json", "testdata/scenarios/start-empty.json"}
	if err := Print(&out, files, virtualWorld); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), `{"ev":"scenario","name":"`) != 2 ||
		!strings.Contains(out.String(), "{\"ev\":\"scenario\",\"name\":\"start-empty\"}\n{\"ev\":\"step\",\"n\":0,\"op\":\"start\"}\n") {
		t.Fatalf("traces:\n%s", &out)
	}
}

func TestAFileThatCannotBeReadSaysWhy(t *testing.T) {
	for content, want := range map[string]string{
		``:                    "EOF",
		`{"name":`:            "unexpected EOF",
		`{"name": "x"}`:       "no root",
		`{"root": {}} {}`:     "more than one value",
		`{"root": {"id": 1}}`: "id 1 is no string",
		`{"root": {"id": "root"}, "steps": [{"op": "jump"}]}`:                                   `step 1: op "jump" is none of exit`,
		`{"root": {"id": "root"}, "steps": [{}]}`:                                               `step 1: no op`,
		`{"root": {"id": "root"}, "steps": [{"op": "advance", "ms": -1}]}`:                      "step 1: advance: ms is no number",
		`{"root": {"id": "root"}, "steps": [{"op": "exit", "child": "root/a"}]}`:                "step 1: exit: no how",
		`{"root": {"id": "root"}, "steps": [{"op": "exit", "how": "kill"}]}`:                    "step 1: exit: no child",
		`{"root": {"id": "root"}, "steps": [{"op": "async", "call": {"op": "advance"}}]}`:       "step 1: async: call: advance: ms is no number",
		`{"root": {"id": "root"}, "steps": [{"op": "async", "call": {"op": "async_stop"}}]}`:    "step 1: async: call: async_stop is no request",
		`{"root": {"id": "root"}, "steps": [{"op": "which_children"}]}`:                         "step 1: which_children: no sup",
		`{"root": {"id": "root", "children": [{"id": "a", "starts": ["o"]}]}}`:                  `start "o" is none of ok`,
		`{"root": {"id": "root"}, "steps": [{"op": "start_child", "sup": "root"}]}`:             "step 1: start_child: no child",
		`{"root": {"id": "root"}, "steps": [{"op": "exit", "child": "root/a", "how": "hard"}]}`: `how "hard" is none of normal`,
	} {
		file := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := Print(&out, []string{file}, virtualWorld)
		var unreadable *UnreadableError
		if !errors.As(err, &unreadable) || out.Len() > 0 || !strings.Contains(err.Error(), file+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", content, err, want)
		}
	}
	if err := Print(&bytes.Buffer{}, []string{"testdata/none.json"}, virtualWorld); !errors.As(err, new(*UnreadableError)) {
		t.Errorf("a file that is not there: %v", err)
	}
}
