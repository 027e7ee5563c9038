package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// mark is where one key of a file stands, and what is below it: the places
// without the values. A key without a place of its own (a of [a.b]) has that
// of the key that made it.
type mark struct {
	key    int  // the offset of the key
	at     int  // the offset of the value, or of the table's header
	given  bool // by a key or a header of its own, not only on the way to another
	fields map[string]*mark
	elems  []*mark
}

// marker builds the marks of a source from its syntax tree.
type marker struct {
	src    *source
	parser unstable.Parser
	root   *mark
	table  *mark // the one whose keys are being read
	wrong  []Diagnostic
	spare  []unstable.Range // second definitions, without which the rest can be read
}

// marks reads the places of a text. err is a syntax error; the marks before it stand.
func marks(src *source) (m *marker, err error) {
	m = &marker{src: src, root: &mark{given: true}}
	m.table = m.root
	m.parser.Reset(src.text)
	for m.parser.NextExpression() {
		switch e := m.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			m.header(e)
		case unstable.KeyValue:
			if !m.keyValue(m.table, e) {
				m.spare = append(m.spare, e.Raw)
			}
		}
	}
	return m, m.parser.Error()
}

// rest is the text without the second definitions of keys, which no decoder
// takes. Everything in it stays in its place.
func (m *marker) rest() []byte {
	text := bytes.Clone(m.src.text)
	for _, r := range m.spare {
		for i := r.Offset; i < r.Offset+r.Length; i++ {
			if text[i] != '\n' && text[i] != '\r' {
				text[i] = ' '
			}
		}
	}
	return text
}

// header enters [a.b] or [[a.b]].
func (m *marker) header(e *unstable.Node) {
	at, keys := m.root, e.Key()
	start := -1
	for keys.Next() {
		key := keys.Node()
		if start < 0 {
			start = m.lineStart(int(key.Raw.Offset))
		}
		if !keys.IsLast() {
			at = at.step(key, start).last()
			continue
		}
		next := at.step(key, start)
		if e.Kind == unstable.ArrayTable {
			next.given = true
			next.elems = append(next.elems, &mark{key: next.key, at: start, given: true})
			m.table = next.last()
			return
		}
		if next.given {
			m.twice(e, int(key.Raw.Offset), next)
		}
		next.key, next.at, next.given = int(key.Raw.Offset), start, true
		m.table = next
	}
}

// keyValue enters a.b = value, unless the key has a value already.
func (m *marker) keyValue(table *mark, e *unstable.Node) bool {
	at, keys := table, e.Key()
	for keys.Next() {
		key := keys.Node()
		at = at.step(key, int(key.Raw.Offset))
		if !keys.IsLast() {
			continue
		}
		if at.given {
			m.twice(e, int(key.Raw.Offset), at)
			return false
		}
		at.key, at.given = int(key.Raw.Offset), true
		m.value(at, e.Value(), m.afterEquals(int(key.Raw.Offset+key.Raw.Length)))
	}
	return true
}

// value enters a value; start is where it stands, should the syntax tree not say.
func (m *marker) value(at *mark, v *unstable.Node, start int) {
	at.at = start
	if v.Raw.Length > 0 {
		at.at = int(v.Raw.Offset)
	}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			elem := &mark{key: at.key, given: true}
			m.value(elem, it.Node(), at.at)
			at.elems = append(at.elems, elem)
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				m.keyValue(at, it.Node())
			}
		}
	}
}

// twice says that a key is defined a second time. The decoder would say so
// too, but not where the first one is.
func (m *marker) twice(e *unstable.Node, offset int, first *mark) {
	var parts []string
	for it := e.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	what := fmt.Sprintf("%s is defined twice: first at %s", strings.Join(parts, "."), m.src.at(first.key).place())
	m.wrong = append(m.wrong, Diagnostic{Place: m.src.at(offset).place(), Text: what})
}

// step goes to a key's mark, and makes it where there is none.
func (k *mark) step(key *unstable.Node, at int) *mark {
	name := string(key.Data)
	if k.fields == nil {
		k.fields = map[string]*mark{}
	}
	if k.fields[name] == nil {
		k.fields[name] = &mark{key: int(key.Raw.Offset), at: at}
	}
	return k.fields[name]
}

// last is the table that a header's further keys mean: the last of an array's.
func (k *mark) last() *mark {
	if n := len(k.elems); n > 0 {
		return k.elems[n-1]
	}
	return k
}

// lineStart finds the bracket that begins a header.
func (m *marker) lineStart(offset int) int {
	line := m.src.at(offset).place().Line
	at := m.src.lines[line-1]
	for at < offset && m.src.text[at] != '[' {
		at++
	}
	return at
}

// afterEquals finds the value behind a key.
func (m *marker) afterEquals(offset int) int {
	text := m.src.text
	for offset < len(text) && strings.IndexByte(" \t=", text[offset]) >= 0 {
		offset++
	}
	return offset
}
