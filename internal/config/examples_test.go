package config

import (
	"path/filepath"
	"testing"
)

// Every example loads, without an error and without a warning but that of the
// program that has to be built first.
func TestTheExamplesLoad(t *testing.T) {
	t.Chdir(configsDir)
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d examples (%v)", len(files), err)
	}
	for _, file := range files {
		c, err := Load(file)
		if err != nil {
			t.Errorf("%s:\n%v", file, err)
			continue
		}
		if c.Name == "" || len(c.Tree.Spec.Children) == 0 {
			t.Errorf("%s: an empty tree", file)
		}
		for _, w := range c.Warnings {
			if built, _ := filepath.Abs("web/bin/counter"); w.Text != "command "+built+": no such file or directory" {
				t.Errorf("%v", w)
			}
		}
	}
}
