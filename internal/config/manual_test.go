package config

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func manual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The manual has a section on every key that is read, and on no other.
func TestEveryKeyIsInTheManual(t *testing.T) {
	text := manual(t)
	var sections []string
	for _, m := range regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(text, -1) {
		sections = append(sections, m[1])
	}
	slices.Sort(sections)
	equal(t, "sections", sections, slices.Sorted(maps.Keys(homes)))

	for table, keys := range map[string][]string{"control": controlKeys, "backoff": backoffKeys, "ready": readyKeys, "watchdog": watchdogKeys} {
		for _, key := range keys {
			if full := "`" + table + "." + key; !strings.Contains(text, full+"`") && !strings.Contains(text, full+" = true`") {
				t.Errorf("the manual says nothing of %s`", full)
			}
		}
	}
	for word, choices := range map[string][]string{"strategy": words(strategies), "restart": words(restarts), "auto_shutdown": words(autoShutdowns),
		"backoff.kind": words(backoffKinds), "containment": words(containments), "channel": words(channels)} {
		for _, choice := range choices {
			if !strings.Contains(text, "`\""+choice+"\"`") {
				t.Errorf("the manual says nothing of %s = %q", word, choice)
			}
		}
	}
}

func words[T any](choices []choice[T]) (words []string) {
	for _, c := range choices {
		words = append(words, c.word)
	}
	return words
}

// Every example of the manual loads.
func TestTheManualsExamplesLoad(t *testing.T) {
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(manual(t), -1)
	if len(examples) < 10 {
		t.Fatalf("found %d examples", len(examples))
	}
	dir := write(t, map[string]string{"web.toml": "name = 'web'\n[[child]]\nname = 'api'\ncommand = 'true'\n"})
	for _, e := range examples {
		if _, err := Parse(filepath.Join(dir, "tree.toml"), []byte(e[1])); err != nil {
			t.Errorf("%s\n%v", e[1], err)
		}
	}
}
