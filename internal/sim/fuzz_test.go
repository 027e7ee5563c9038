package sim

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever a file holds, it is refused or it runs to an end.
func FuzzScenario(f *testing.F) {
	files, err := filepath.Glob("testdata/scenarios/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err != nil {
			return
		}
		if _, err := Run(s); err != nil {
			t.Log(err)
		}
	})
}
