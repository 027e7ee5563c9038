package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files anew")

// configsDir holds the examples; its directory bad what must be refused.
const configsDir = "../../configs"

// A bad file is refused with exactly the messages beside it.
func TestBadFilesAreRefusedWithTheirMessages(t *testing.T) {
	t.Chdir(filepath.Join(configsDir, "bad"))
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d bad files (%v), want at least 60", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			_, err := Load(file)
			var ds Diagnostics
			if !errors.As(err, &ds) {
				t.Fatalf("Load: %v, want Diagnostics", err)
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".txt", ds.Error()+"\n")
			for _, d := range ds {
				if d.Place.Line == 0 || d.Warning {
					t.Errorf("%v: an error without a place, or a warning among the errors", d)
				}
			}
		})
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot:\n%swant:\n%s", file, got, want)
	}
}
