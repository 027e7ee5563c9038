package config

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/tree"
)

// choice is a word that a key takes, and what it means. An alias is read, but
// named only behind the words proper.
type choice[T any] struct {
	word  string
	value T
	alias bool
}

// named are the choices whose words are the values' own.
func named[T fmt.Stringer](values ...T) []choice[T] {
	choices := make([]choice[T], len(values))
	for i, v := range values {
		choices[i] = choice[T]{word: v.String(), value: v}
	}
	return choices
}

// The words of each key.
//
//nolint:gochecknoglobals // tables that nobody changes
var (
	strategies    = named(tree.OneForOne, tree.OneForAll, tree.RestForOne, tree.SimpleOneForOne)
	autoShutdowns = named(tree.Never, tree.AnySignificant, tree.AllSignificant)
	backoffKinds  = named(backoff.None, backoff.Constant, backoff.Linear, backoff.Exponential)
	restarts      = append(named(tree.Permanent, tree.Transient, tree.Temporary, tree.Once),
		choice[tree.Restart]{word: "always", value: tree.Permanent, alias: true},
		choice[tree.Restart]{word: "on-failure", value: tree.Transient, alias: true},
		choice[tree.Restart]{word: "never", value: tree.Temporary, alias: true})
	containments = []choice[string]{
		{word: "auto", value: ""},
		{word: "basic", value: "basic"},
		{word: "cgroup", value: "cgroup"},
	}
	channels = []choice[string]{
		{word: "none", value: ""},
		{word: "frames", value: "frames"},
		{word: "lines", value: "lines"},
	}
)

// pick reads one of a few words. What is none of them counts as the zero value.
func pick[T any](l *loader, e entry, choices []choice[T]) (value T) {
	s, isText := e.data.(string)
	var words, proper, aliases []string
	for _, c := range choices {
		if isText && c.word == s {
			return c.value
		}
		words = append(words, c.word)
		if c.alias {
			aliases = append(aliases, c.word)
		} else {
			proper = append(proper, c.word)
		}
	}
	list := strings.Join(proper, ", ")
	if len(aliases) > 0 {
		list += " (or " + strings.Join(aliases, ", ") + ")"
	}
	if !isText {
		l.wrong(e, "%s is one of %s, not %s", e.name, list, describe(e.data))
		return value
	}
	l.wrong(e, "%s %q is none of %s%s", e.name, s, list, didYouMean(s, words))
	return value
}

// signal reads a signal's name, with or without SIG, and answers it without.
func (l *loader) signal(e entry) (string, bool) {
	s, ok := e.data.(string)
	if !ok {
		hint := ""
		if n, ok := e.data.(int64); ok && n > 0 && n < 65 {
			if name := unix.SignalName(unix.Signal(n)); name != "" {
				hint = fmt.Sprintf(": did you mean %q?", strings.TrimPrefix(name, "SIG"))
			}
		}
		l.wrong(e, `%s is the name of a signal, like "TERM", not %s%s`, e.name, describe(e.data), hint)
		return "", false
	}
	name := strings.TrimPrefix(s, "SIG")
	if unix.SignalNum("SIG"+name) == 0 {
		l.wrong(e, "%s %q is no signal%s", e.name, s, didYouMean(strings.TrimPrefix(strings.ToUpper(s), "SIG"), signalNames()))
		return "", false
	}
	return name, true
}

// signalNames are the names of the signals that are not of the real-time kind.
func signalNames() []string {
	var names []string
	for n := unix.Signal(1); n < 32; n++ {
		if name := unix.SignalName(n); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	return names
}

// didYouMean is the end of a message about a word that is nearly right.
func didYouMean(s string, words []string) string {
	if word, ok := nearest(s, words); ok {
		return fmt.Sprintf(": did you mean %q?", word)
	}
	return ""
}

// nearest finds the word that was probably meant: the same but for case and
// for - and _, or else the one with the fewest typing errors between them, at
// most one for every three characters.
func nearest(s string, words []string) (string, bool) {
	s = fold(s)
	if len(s) > 2*MaxName {
		return "", false
	}
	best, least := "", len(s)/3+1
	for _, word := range words {
		if d := distance(s, fold(word)); d < least {
			best, least = word, d
		}
	}
	return best, best != ""
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance counts the typing errors between two words: a character too many,
// missing or wrong, or two that changed places.
func distance(a, b string) int {
	two, one := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := one[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, one[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one = one, row
	}
	return one[len(b)]
}
