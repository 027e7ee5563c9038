package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2/unstable"
)

// value is a TOML value with its place. Its data is a string, an int64, a
// float64, a bool, a []value, a *table, or a time.Time, which no key wants.
type value struct {
	spot
	data any
}

// entry is a key with its value. The entry's own place is the value's.
type entry struct {
	value
	name string
	key  spot
}

// table is a TOML table. Its place is its header's.
type table struct {
	spot
	entries []entry // in the order of the text
	index   map[string]int
}

// view is a table with those that stand in for keys it does not have, nearest first.
type view []*table

func (t *table) get(key string) (entry, bool) {
	i, ok := t.index[key]
	if !ok {
		return entry{}, false
	}
	return t.entries[i], true
}

func (v view) get(key string) (entry, bool) {
	for _, t := range v {
		if e, ok := t.get(key); ok {
			return e, true
		}
	}
	return entry{}, false
}

// parse makes a table of a source. ok is false where it is no TOML.
func (l *loader) parse(src *source) (root *table, ok bool) {
	l.files = append(l.files, src)
	if offset, what, found := outOfBounds(src.text); found {
		l.wrong(src.at(offset), "%s", what)
		return nil, false
	}
	places, placeErr := marks(src)
	for _, d := range places.wrong {
		l.add(d)
	}
	var data map[string]any
	_, err := toml.Decode(string(places.rest()), &data)
	if err == nil {
		err = placeErr
	}
	if err != nil {
		if d := syntaxError(src, err); !sameLine(places.wrong, d.Place) {
			l.add(d)
		}
		return nil, false
	}
	return zip(src, data, places.root), true
}

// syntaxError places what a parser said.
func syntaxError(src *source, err error) Diagnostic {
	offset, text := 0, err.Error()
	var burnt toml.ParseError
	var pelletier *unstable.ParserError
	switch {
	case errors.As(err, &burnt):
		offset, text = burnt.Position.Start, burnt.Message
	case errors.As(err, &pelletier):
		text = pelletier.Message
		if len(pelletier.Highlight) > 0 {
			offset = cap(src.text) - cap(pelletier.Highlight)
		}
	}
	return Diagnostic{Place: src.at(offset).place(), Text: "not TOML: " + lowerFirst(strings.TrimSuffix(text, "."))}
}

// lowerFirst makes a sentence fit behind a colon.
func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if next, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsUpper(next) {
		return s // TOML, UTF-8
	}
	return string(unicode.ToLower(r)) + s[n:]
}

func sameLine(ds []Diagnostic, p Place) bool {
	for _, d := range ds {
		if d.Place.Line == p.Line {
			return true
		}
	}
	return false
}

// zip joins a decoded table with its places.
func zip(src *source, data map[string]any, m *mark) *table {
	t := &table{spot: src.at(m.at), index: make(map[string]int, len(data))}
	for name, v := range data {
		at := m.fields[name]
		if at == nil {
			at = m
		}
		t.entries = append(t.entries, entry{name: name, key: src.at(at.key), value: zipValue(src, v, at)})
	}
	sort.Slice(t.entries, func(i, j int) bool { return t.entries[i].key.before(t.entries[j].key) })
	for i, e := range t.entries {
		t.index[e.name] = i
	}
	return t
}

func zipValue(src *source, data any, m *mark) value {
	v := value{spot: src.at(m.at), data: data}
	switch data := data.(type) {
	case map[string]any:
		v.data = zip(src, data, m)
	case []map[string]any:
		v.data = zipList(src, data, m)
	case []any:
		v.data = zipList(src, data, m)
	}
	return v
}

func zipList[T any](src *source, data []T, m *mark) []value {
	list := make([]value, len(data))
	for i, v := range data {
		at := m
		if i < len(m.elems) {
			at = m.elems[i]
		}
		list[i] = zipValue(src, v, at)
	}
	return list
}

// describe names the type of a value.
func describe(data any) string {
	switch data := data.(type) {
	case string:
		return "a string"
	case int64:
		return fmt.Sprintf("the number %d", data)
	case float64:
		return fmt.Sprintf("the number %v", data)
	case bool:
		return fmt.Sprintf("%v", data)
	case []value:
		return "an array"
	case *table:
		return "a table"
	}
	return "a date or time"
}
