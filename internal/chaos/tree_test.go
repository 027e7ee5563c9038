// Package chaos kills, stops and terminates processes of random trees, and
// looks at what is left. Everything in it is a test.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The bounds of a random tree.
const (
	maxDepth = 3
	maxKids  = 4
)

// workers are what a random tree is made of: shell commands that behave well,
// and some that do not.
var workers = [...]struct{ command, keys string }{
	{"exec sleep 1000", ""},
	{"exec sleep 1000", ""},
	{"sleep 1000 & exec sleep 1000", ""},                                        // leaves a child in its group
	{"setsid sleep 1000 & exec sleep 1000", ""},                                 // and one that left the group
	{"(setsid sleep 1000 &) ; exec sleep 1000", ""},                             // and one whose parent is gone
	{"trap '' TERM; while :; do sleep 1000 & wait; done", `shutdown = "200ms"`}, // must be killed
	{"exec sleep 1000", `restart = "transient"`},
	{"sleep 0.$$; exit 1", ""}, // crashes now and then
}

// randomTree writes a tree that a seed describes. Its root never gives up.
func randomTree(t *testing.T, r *rand.Rand) (file string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("name = \"chaos\"\nintensity = \"infinity\"\n")
	b.WriteString(strategy(r))
	b.WriteString("[defaults]\nbackoff = { kind = \"constant\", min = \"10ms\" }\n")
	children(&b, r, "child", 1)
	file = filepath.Join(t.TempDir(), "chaos.toml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func strategy(r *rand.Rand) string {
	return fmt.Sprintf("strategy = %q\n", [...]string{"one_for_one", "one_for_all", "rest_for_one"}[r.IntN(3)])
}

// children writes the tables of a supervisor's children.
func children(b *strings.Builder, r *rand.Rand, table string, depth int) {
	for i := range 1 + r.IntN(maxKids) {
		fmt.Fprintf(b, "[[%s]]\n", table)
		if depth < maxDepth && r.IntN(3) == 0 {
			fmt.Fprintf(b, "name = \"s%d\"\n%s", i, strategy(r))
			if r.IntN(2) == 0 {
				b.WriteString("intensity = 5\nperiod = \"1s\"\n")
			}
			children(b, r, table+".child", depth+1)
			continue
		}
		w := workers[r.IntN(len(workers))]
		fmt.Fprintf(b, "name = \"w%d\"\ncommand = %q\n%s\n", i, w.command, w.keys)
	}
}
