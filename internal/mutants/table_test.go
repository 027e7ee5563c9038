package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Trying the mutants takes minutes; that each of them still has its place in
// the core takes none.
func TestEveryMutantHasItsPlace(t *testing.T) {
	for i, m := range mutants {
		data, err := os.ReadFile(filepath.Join("../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), m.sound); n != 1 || m.sound == m.broken {
			t.Errorf("mutant %d (%s): %s has %d places %q", i+1, m.rule, m.file, n, m.sound)
		}
	}
}
