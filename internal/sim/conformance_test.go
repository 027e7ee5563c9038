package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The traces in testdata were recorded from Erlang/OTP 25's own supervisor.
func TestTheTraceIsOTPs(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("testdata/golden", name+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Read(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Run(s)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, want)
		})
	}
}

// compare shows the first line in which two traces differ.
func compare(t *testing.T, got, want []byte) {
	t.Helper()
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(g), len(w)) {
		var a, b []byte
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("line %d:\n got %s\nwant %s", i+1, a, b)
		}
	}
}
