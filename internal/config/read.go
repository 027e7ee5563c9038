package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The readers of single values. Each says what is wrong and then answers
// false; its caller goes on with the next key.

// text reads a string that says something.
func (l *loader) text(e entry) (string, bool) {
	s, ok := l.anyText(e)
	if ok && strings.TrimSpace(s) == "" {
		l.wrong(e, "%s is empty: leave it out, or say what it is", e.name)
		return "", false
	}
	return s, ok
}

// anyText reads a string. No system call takes a NUL, so no string may hold one.
func (l *loader) anyText(e entry) (string, bool) {
	s, ok := e.data.(string)
	if !ok {
		l.wrong(e, "%s is a string, not %s%s", e.name, describe(e.data), quoted(e.data))
		return "", false
	}
	if strings.ContainsRune(s, 0) {
		l.wrong(e, "%s holds a NUL character, which no process can be given", e.name)
		return "", false
	}
	return s, true
}

// quoted is the hint for a scalar that only lacks its quotes.
func quoted(data any) string {
	switch data.(type) {
	case int64, float64, bool:
		return fmt.Sprintf(": did you mean %q?", fmt.Sprint(data))
	}
	return ""
}

// flag reads true or false.
func (l *loader) flag(e entry) (b, ok bool) {
	if b, ok = e.data.(bool); !ok {
		l.wrong(e, "%s is true or false, not %s", e.name, describe(e.data))
	}
	return b, ok
}

// integer reads a whole number within bounds.
func (l *loader) integer(e entry, low, high int64) (int64, bool) {
	n, ok := e.data.(int64)
	if !ok {
		l.wrong(e, "%s is a whole number, not %s", e.name, describe(e.data))
		return 0, false
	}
	if n < low || n > high {
		l.wrong(e, "%s %d is not between %d and %d", e.name, n, low, high)
		return 0, false
	}
	return n, true
}

// number reads a number within bounds.
func (l *loader) number(e entry, low, high float64) (float64, bool) {
	var n float64
	switch data := e.data.(type) {
	case int64:
		n = float64(data)
	case float64:
		n = data
	default:
		l.wrong(e, "%s is a number, not %s", e.name, describe(e.data))
		return 0, false
	}
	if !(n >= low && n <= high) { // a NaN is neither
		l.wrong(e, "%s %v is not between %v and %v", e.name, n, low, high)
		return 0, false
	}
	return n, true
}

// table reads a table; like shows how one is written.
func (l *loader) table(e entry, like string) (*table, bool) {
	t, ok := e.data.(*table)
	if !ok {
		l.wrong(e, "%s is a table, like %s, not %s", e.name, like, describe(e.data))
	}
	return t, ok
}

// elements makes an entry of each element of an array, and one of a lone string.
func (l *loader) elements(e entry) ([]entry, bool) {
	switch data := e.data.(type) {
	case string:
		return []entry{e}, true
	case []value:
		list := make([]entry, len(data))
		for i, v := range data {
			list[i] = entry{name: fmt.Sprintf("%s[%d]", e.name, i), key: e.key, value: v}
		}
		return list, true
	}
	l.wrong(e, "%s is a string or an array of strings, not %s", e.name, describe(e.data))
	return nil, false
}

// duration reads a time that is not negative. A word of words, as infinity,
// stands for the length that it maps to.
func (l *loader) duration(e entry, words map[string]time.Duration) (time.Duration, bool) {
	s, ok := e.data.(string)
	if !ok {
		hint := ""
		switch e.data.(type) {
		case int64, float64:
			hint = fmt.Sprintf(": did you mean \"%vs\"?", e.data)
		}
		l.wrong(e, `%s is a duration with a unit, like "10s", not %s%s`, e.name, describe(e.data), hint)
		return 0, false
	}
	if d, ok := words[s]; ok {
		return d, true
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || bareNumber(s):
		l.wrong(e, `%s %q is no duration%s`, e.name, s, durationHint(s, words))
	case d < 0:
		l.wrong(e, "%s %q is negative", e.name, s)
	default:
		return d, true
	}
	return 0, false
}

// bareNumber says whether a text is a number without a unit. time.ParseDuration
// takes one such, 0.
func bareNumber(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	return len(s)-len(digits) <= 1 && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// longUnit is how people write durations elsewhere. It is compiled where it is
// needed: as a variable it would take 20 KiB in every process of a tree.
const longUnit = `^([0-9.]+) *(ms|msecs?|milliseconds?|us|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$`

// durationHint says what would be right.
func durationHint(s string, words map[string]time.Duration) string {
	var known []string
	for word := range words {
		known = append(known, word)
	}
	if word, ok := nearest(s, known); ok {
		return fmt.Sprintf(": did you mean %q?", word)
	}
	if bareNumber(s) {
		return fmt.Sprintf(`: a number needs a unit: did you mean "%ss"?`, s)
	}
	m := regexp.MustCompile(longUnit).FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return `: write a number with a unit, like "500ms", "10s" or "1m30s"`
	}
	unit := m[2]
	switch {
	case strings.HasPrefix(unit, "ms") || strings.HasPrefix(unit, "milli"):
		unit = "ms"
	case unit[0] == 'd':
		return `: the longest unit is h: a day is "24h"`
	case unit != "us":
		unit = unit[:1]
	}
	return fmt.Sprintf(": did you mean %q?", m[1]+unit)
}

// path reads a path and makes it absolute, from the directory of its file.
func (l *loader) path(e entry) (string, bool) {
	s, ok := l.text(e)
	if !ok {
		return "", false
	}
	return e.src.resolve(s), true
}

// resolve makes a path absolute.
func (s *source) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(s.dir, path)
}

// name reads the name of a child or a root.
func (l *loader) name(e entry) (string, bool) {
	s, ok := l.text(e)
	if !ok {
		return "", false
	}
	for i, r := range s {
		if !nameRune(r) {
			l.wrong(e, "name %q holds %q: a name is letters, digits, and _ . - behind the first", s, r)
			return "", false
		}
		if i == 0 && strings.ContainsRune("_.-", r) {
			l.wrong(e, "name %q begins with %q: a name begins with a letter or a digit", s, r)
			return "", false
		}
	}
	if len(s) > MaxName {
		l.wrong(e, "name %q is %d characters long, and %d is the most", s, len(s), MaxName)
		return "", false
	}
	return s, true
}

// nameRune says whether a name may hold a character.
func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-'
}
