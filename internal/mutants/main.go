// Command mutants breaks the core in sensible ways, one at a time, and says
// which test notices each. It prints the table of docs/mutation.md. The files
// themselves are not touched: the compiler reads the broken one in their place.
//
//	mutants            all of them
//	mutants 3 17       the 3rd and the 17th
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	survivors, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
		os.Exit(2)
	}
	if survivors > 0 {
		fmt.Printf("\n%d mutants were not noticed.\n", survivors)
		os.Exit(1)
	}
}

func run(only []string) (survivors int, err error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, fmt.Errorf("making a place for mutants: %w", err)
	}
	defer os.RemoveAll(dir)
	fmt.Print("| # | file | the core breaks this rule | noticed by |\n|---|---|---|---|\n")
	for i, m := range mutants {
		n := strconv.Itoa(i + 1)
		if len(only) > 0 && !slices.Contains(only, n) {
			continue
		}
		overlay, err := m.write(dir)
		if err != nil {
			return survivors, fmt.Errorf("mutant %s: %w", n, err)
		}
		tests, err := noticedBy(overlay)
		if err != nil {
			return survivors, fmt.Errorf("mutant %s: %w", n, err)
		}
		if tests == "" {
			tests = "**nobody**"
			survivors++
		}
		fmt.Printf("| %s | %s | %s | %s |\n", n, filepath.Base(m.file), m.rule, tests)
	}
	return survivors, nil
}

// write makes the broken file, and the overlay that puts it in the place of
// the sound one.
func (m *mutant) write(dir string) (overlay string, err error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", m.file, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the sound file: %w", err)
	}
	if n := strings.Count(string(data), m.sound); n != 1 {
		return "", fmt.Errorf("%s has %d places %q", m.file, n, m.sound)
	}
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(data), m.sound, m.broken, 1)), 0o600); err != nil {
		return "", fmt.Errorf("writing the broken file: %w", err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	return overlay, nil
}

var failed = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// noticedBy runs the tests of the core and of the simulator, and lists some
// that fail: of scripts, traces and worlds how many.
func noticedBy(overlay string) (string, error) {
	cmd := exec.Command("go", "test", "-overlay", overlay, "-timeout", "30s", "./tree", "./internal/sim")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	groups := map[string][]string{}
	for _, match := range failed.FindAllStringSubmatch(string(out), -1) {
		group, sub, _ := strings.Cut(match[1], "/")
		groups[group] = append(groups[group], sub)
	}
	if len(groups) == 0 {
		if strings.Contains(string(out), "panic: ") {
			return "a panic, or no end", nil
		}
		return "", fmt.Errorf("it does not compile:\n%s", out)
	}
	var words []string
	for group, subs := range groups {
		word := strings.TrimPrefix(group, "Test")
		subs = slices.DeleteFunc(subs, func(s string) bool { return s == "" || s[0] == '#' })
		if len(subs) > 0 {
			slices.Sort(subs)
			word = fmt.Sprintf("%s: %s", word, subs[0])
			if len(subs) > 1 {
				word += fmt.Sprintf(" and %d more", len(subs)-1)
			}
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return strings.Join(words, "; "), nil
}
