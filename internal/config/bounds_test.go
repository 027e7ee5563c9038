package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// many is a tree of n workers.
func many(n int) []byte {
	var b strings.Builder
	b.WriteString("[defaults]\nuser = 'root'\n")
	for i := range n {
		fmt.Fprintf(&b, "\n[[child]]\nname    = 'worker-%d'\ncommand = ['/bin/sh', '-c', 'exec sleep 3600', '%s']\nready   = { tcp = '127.0.0.1:7001' }\n", i, strings.Repeat("x", 950))
	}
	return []byte(b.String())
}

func TestAThousandChildrenInAMegabyte(t *testing.T) {
	text := many(1000)
	if len(text) < 1<<20 {
		t.Fatalf("the text is %d bytes long, want 1 MiB", len(text))
	}
	c, err := Parse("many.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "children", len(c.Tree.Spec.Children), 1000)
	equal(t, "workers", len(c.Tree.Workers), 1000)
}

func BenchmarkAThousandChildrenInAMegabyte(b *testing.B) {
	text := many(1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse("many.toml", text); err != nil {
			b.Fatal(err)
		}
	}
}

// Twenty files, each of which includes the next one twice, are a million children.
func TestATreeThatDoublesEndsAtTheBound(t *testing.T) {
	files := map[string]string{"f20.toml": "[[child]]\nname = 'w'\ncommand = 'true'\n"}
	for i := range 20 {
		files[fmt.Sprintf("f%d.toml", i)] = fmt.Sprintf("[[child]]\nname = 'a'\ntree = 'f%d.toml'\n[[child]]\nname = 'b'\ntree = 'f%d.toml'\n", i+1, i+1)
	}
	dir := write(t, files)
	_, err := Load(filepath.Join(dir, "f0.toml"))
	for _, m := range messages(t, err, dir) {
		if !strings.HasSuffix(m, "the tree has more than 100000 children") {
			t.Error(m)
		}
	}
}

func TestAFileThatDoesNotEnd(t *testing.T) {
	_, err := Load("/dev/zero")
	equal(t, "messages", messages(t, err, "."), []string{"/dev/zero: the file is longer than 16 MiB"})
}

// Texts that a parser would take long for, or fall over.
func TestTextsBeyondAllBounds(t *testing.T) {
	const n = 1 << 20
	for what, text := range map[string]string{
		"brackets":       "x = " + strings.Repeat("[", n),
		"braces":         strings.Repeat("x={", n/3),
		"dots":           strings.Repeat("a.", n/2) + "a = 1",
		"headers":        strings.Repeat("[a.", n/3),
		"an open string": "x = '''" + strings.Repeat("[", n),
		"an array":       "x = [" + strings.Repeat("1,", n/2) + "]",
		"lines":          strings.Repeat("\n", n) + "=",
	} {
		if _, err := Parse("x.toml", []byte(text)); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// A file of nothing but mistakes is told about, within bounds.
func TestMoreMistakesThanAnybodyReads(t *testing.T) {
	var b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&b, "key%d = 1\n", i)
	}
	_, err := Parse("x.toml", []byte(b.String()))
	got := messages(t, err, ".")
	equal(t, "how many", len(got), MaxErrors+1)
	equal(t, "the last", got[MaxErrors], "x.toml:1001:1: and more: 1000 of them are told")

	_, err = Parse("x.toml", []byte("name = '"+strings.Repeat("ü", 1<<20)+"'"))
	if got := messages(t, err, ".")[0]; len(got) > 2*maxText || !strings.HasSuffix(got, "…") {
		t.Errorf("a message of %d bytes", len(got))
	}
}

// Whatever the text is, a load ends, what it refuses is told in order with a
// place each, and what it lets through is a tree that may be started.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"*.toml", "bad/*.toml", "bad/include/*.toml"} {
		files, err := filepath.Glob(filepath.Join(configsDir, pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	all, err := os.ReadFile("testdata/all.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz.toml", text)
		if err == nil {
			sound(t, c.Tree, 1)
		} else {
			inOrder(t, err)
		}
		one, err := ParseChild("fuzz.toml", text, "/")
		switch {
		case err != nil:
			inOrder(t, err)
		case (one.Worker == nil) == (one.Supervisor == nil):
			t.Errorf("a child that is both or neither: %+v", one)
		}
	})
}

// sound checks a tree that was let through.
func sound(t *testing.T, s *child.Subtree, level int) {
	if level > MaxDepth {
		t.Errorf("%s is on level %d", s.Path, level)
	}
	if err := tree.Check(s.Spec); err != nil {
		t.Errorf("%s: %v", s.Path, err)
	}
	for _, c := range s.Spec.Children {
		if w := s.Workers[c.ID]; c.Kind == tree.KindWorker && (w == nil || len(w.Command) == 0) {
			t.Errorf("%s has no command for %s", s.Path, c.ID)
		}
		if c.Kind == tree.KindSupervisor {
			sound(t, s.Supervisors[c.ID], level+1)
		}
	}
}

// inOrder checks what was refused.
func inOrder(t *testing.T, err error) {
	var ds Diagnostics
	if !errors.As(err, &ds) || len(ds) == 0 {
		t.Fatalf("%v (%T), want Diagnostics", err, err)
	}
	for _, d := range ds {
		if d.Place.Line < 1 || d.Place.Column < 1 || d.Text == "" || strings.Contains(d.Text, "\n") {
			t.Errorf("%q: no place, or not one line", d)
		}
	}
	if !sort.SliceIsSorted(ds, func(i, j int) bool {
		a, b := ds[i].Place, ds[j].Place
		return a.File == b.File && (a.Line < b.Line || a.Line == b.Line && a.Column < b.Column)
	}) {
		t.Errorf("not in order:\n%v", err)
	}
}
