package ipc

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var runMutants = flag.Bool("mutants", false, "break the switch in each of the ways of TestMutants, and see that a test notices")

// mutant is one way to break the switch: the rule, the file, and the text that
// another takes the place of.
type mutant struct{ rule, file, old, new string }

var mutants = []mutant{
	{"an answer frees its slot", "open.go", "	if last {\n		s.done(at)\n	}", "	_ = last"},
	{"only the callee answers", "open.go", "s.slots[at].out != l || ", ""},
	{"an answer has its caller's id", "open.go", "		f.ID, f.Dst = t.inID, 0", "		f.Dst = 0"},
	{"a cancel does not stop a registration", "open.go", "	if t.about != nil && t.about.survives() {\n		s.leaveIn(at)\n		return\n	}", ""},
	{"the last piece frees its slot", "switch.go", "!t.more && t.as == asPieces {", "!t.more && t.as == asCall {"},
	{"the node writes the source", "switch.go", "		f.Src = l.addr\n	}\n	monitor", "	}\n	monitor"},
	{"a label is not used twice", "slots.go", "	gen := t.gen + 1", "	gen := t.gen"},
	{"an end voids a registration under way", "names.go", "		case !v.void && v.method", "		case v.method"},
	{"an end is told above", "names.go", "	s.forget(func(a Addr) bool { return a == addr }, []Addr{addr})\n	s.sayGone(addr)", "	s.forget(func(a Addr) bool { return a == addr }, []Addr{addr})"},
	{"a name has one holder", "names.go", "		if _, taken := s.names[name]; taken {", "		if false {"},
	{"names end with their life", "death.go", "	if l.asked {\n		s.gone(l.addr)\n	}", ""},
	{"names end with their node", "death.go", "			s.goneNode(node)", "			_ = node"},
	{"a dead caller's calls are cancelled", "death.go", "	for l.ins.head != 0 {\n		s.abandon(l.ins.head - 1)\n	}", ""},
	{"a dead callee's callers are answered", "death.go", "			s.sendDown(at-1, l, down)", "			s.drop(at - 1)"},
	{"a monitor is answered", "death.go", "		s.endMonitor(at-1, downOf(l, s.slots[at-1].dst, down))", "		s.drop(at - 1)"},
	{"a forwarded frame may not overflow", "route.go", "here > most || (all", "here > most && (all"},
	{"a reader does not pay for those who do not read", "route.go", " && here > queueMark)", ")"},
	{"a message in pieces may not overflow", "switch.go", "t.out != nil && s.tooLong(t.out, l)", "false"},
	{"an answer in pieces may not overflow", "open.go", "in != nil && !last && s.tooLong(in, l)", "false"},
	{"no end overtakes a registration", "slots.go", "t.about != nil && t.about.ofTables()", "false"},
	{"no end overtakes an answer", "death.go", "in, id, life := t.in, t.inID, t.out", "in, id, life := t.in, t.inID, t.in"},
	{"no cancel overtakes its call", "open.go", "	if t.out != nil && !t.out.cut && !t.local {\n		s.host.Send(t.out, &Frame{Header: Header{Type: Cancel, ID: s.label(at)}}, t.lane())", "	if t.out != nil && !t.out.cut && !t.local {\n		s.host.Send(t.out, &Frame{Header: Header{Type: Cancel, ID: s.label(at)}}, nil)"},
	{"a sender is told once", "route.go", "	if _, known := out.told[f.Src]; known {\n		return false\n	}", ""},
	{"a worker may not stop another", "names.go", "	case VerbStop, VerbExit,", "	case VerbExit,"},
	{"a death lets those go on who hold back", "death.go", "	s.released(l)", "	l.told = nil"},
	{"the death of a node takes its words back", "death.go", "	s.recall(l)", ""},
	{"what is refused is swallowed", "route.go", "	s.slots[at].more, s.slots[at].cast = true, f.Type == Cast", "	s.drop(at)"},
}

// TestMutants holds the table to the code; with -mutants, the tests to the
// table.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		text, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Errorf("%s: %q stands in %s %d times", m.rule, m.old, m.file, n)
			continue
		}
		if *runMutants {
			t.Run(m.rule, func(t *testing.T) { m.run(t, strings.Replace(string(text), m.old, m.new, 1)) })
		}
	}
}

func (m *mutant) run(t *testing.T, text string) {
	dir := t.TempDir()
	file, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	broken, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{broken: []byte(text), overlay: list} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-skip", "TestMutants", "-worlds", "600", ".").CombinedOutput()
	switch {
	case err == nil:
		t.Error("no test notices")
	case strings.Contains(string(out), "[build failed]"):
		t.Errorf("it does not compile: %s", out)
	}
}
