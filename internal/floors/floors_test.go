// Package floors holds the plan of the house against its imports.
package floors

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/supertrees/supervise"

// floors is the plan: a package imports from lower floors only, never a
// neighbour. docs/architecture.md says what each package is for.
var floors = map[string]int{
	"backoff":              0,
	"tree":                 1,
	"ipc":                  1,
	"internal/nofile":      0,
	"internal/fork":        1,
	"internal/child":       2,
	"internal/output":      2,
	"internal/journal":     2,
	"internal/conformance": 2,
	"proc":                 2,
	"internal/ready":       3,
	"internal/sdnotify":    3,
	"internal/board":       3,
	"proc/proctest":        3,
	"proc/cbor":            3,
	"internal/sim":         3,
	"internal/otpdiff":     4,
	"internal/mutants":     4,
	"internal/config":      3,
	"internal/control":     3,
	"internal/node":        4,
	"internal/stage":       5,
	"cmd/supervise":        6,
}

// light are the packages that must not pull in what only the outside needs.
var light = []string{"tree", "backoff", "ipc", "proc"}

func TestAPackageImportsFromLowerFloorsOnly(t *testing.T) {
	for pkg, imports := range importsOf(t, "../..") {
		floor, planned := floors[pkg]
		if !planned {
			if strings.HasPrefix(pkg, "internal/") && pkg != "internal/floors" {
				t.Errorf("%s has no floor: give it one here and in docs/architecture.md", pkg)
			}
			continue
		}
		for _, i := range imports {
			of, ours := strings.CutPrefix(i, module+"/")
			if below, ok := floors[of]; ours && ok && below >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, floor, of, below)
			}
		}
	}
}

func TestTheCoreTouchesNoClockAndNoOS(t *testing.T) {
	all := importsOf(t, "../..")
	for _, pkg := range []string{"tree", "backoff"} {
		for _, i := range all[pkg] {
			switch i {
			case "os", "sync", "syscall", "net", "context", "golang.org/x/sys/unix", "math/rand":
				t.Errorf("%s imports %s: decisions live there, effects elsewhere", pkg, i)
			}
		}
	}
	for _, pkg := range light {
		for _, i := range all[pkg] {
			if i == "net/http" {
				t.Errorf("%s imports net/http, which every worker would carry", pkg)
			}
		}
	}
}

// A worker, and the program itself, carry CBOR only if they ask for it.
func TestNobodyLinksCBORUnasked(t *testing.T) {
	for pkg, imports := range importsOf(t, "../..") {
		for _, i := range imports {
			if strings.HasPrefix(i, "github.com/fxamacker/") && pkg != "proc/cbor" || i == module+"/proc/cbor" {
				t.Errorf("%s imports %s: it is for programs that want it", pkg, i)
			}
		}
	}
}

// importsOf reads the imports of every package below root, tests left out.
func importsOf(t *testing.T, root string) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "." && d.Name() != ".." {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(p))
		pkg := path.Clean(filepath.ToSlash(rel))
		for _, i := range file.Imports {
			all[pkg] = append(all[pkg], strings.Trim(i.Path.Value, `"`))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
