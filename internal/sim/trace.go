package sim

import (
	"encoding/json"
	"slices"
	"strconv"
)

// trace writes the lines of a trace. It counts the successful starts of each
// path, which a trace shows in place of incarnations.
type trace struct {
	out    []byte
	starts map[string]int
	lives  map[life]int      // the count of starts that this life was
	newest map[string]uint64 // the incarnation of a path's latest start
}

type life struct {
	path        string
	incarnation uint64
}

func newTrace() *trace {
	return &trace{starts: map[string]int{}, lives: map[life]int{}, newest: map[string]uint64{}}
}

// object is a JSON object that is being written, without spaces.
type object []byte

func (o object) str(key, value string) object { return append(o.key(key), quote(value)...) }

func (o object) num(key string, value int) object {
	return strconv.AppendInt(o.key(key), int64(value), 10)
}

func (o object) raw(key, value string) object { return append(o.key(key), value...) }

func (o object) key(key string) object {
	if len(o) == 0 {
		o = append(o, '{')
	} else {
		o = append(o, ',')
	}
	return append(append(append(o, '"'), key...), '"', ':')
}

func (o object) end() string { return string(append(o, '}')) }

// quote writes a JSON string, as it is, but for what JSON forbids.
func quote(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\' {
			plain = false
		}
	}
	if plain {
		return `"` + s + `"`
	}
	var b jsonString
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return `""`
	}
	return string(b[:len(b)-1])
}

// jsonString collects what an Encoder writes.
type jsonString []byte

func (b *jsonString) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func event(kind string) object { return object(nil).str("ev", kind) }

func (t *trace) line(s string) { t.out = append(append(t.out, s...), '\n') }

func (t *trace) step(n int, op Op) { t.line(event("step").num("n", n).str("op", op.String()).end()) }

func (t *trace) result(n int, value string) {
	t.line(event("result").num("n", n).raw("value", value).end())
}

// entry is an event's line, with what normalisation sorts by.
type entry struct {
	text  string
	group string // entries of one group, side by side, are sorted; "" is none
}

// events writes the events of a step, normalised: section 5 of the
// conformance page.
func (t *trace) events(events []Event, unordered bool) {
	entries := make([]entry, len(events))
	for i := range events {
		entries[i] = t.entry(&events[i])
	}
	if unordered {
		slices.SortFunc(entries, compareText)
	}
	for i := 0; i < len(entries) && !unordered; {
		j := i + 1
		for j < len(entries) && entries[i].group != "" && entries[j].group == entries[i].group {
			j++
		}
		slices.SortFunc(entries[i:j], compareText)
		i = j
	}
	for _, e := range entries {
		t.line(e.text)
	}
}

func compareText(a, b entry) int {
	switch {
	case a.text < b.text:
		return -1
	case a.text > b.text:
		return 1
	default:
		return 0
	}
}

func (t *trace) entry(e *Event) entry {
	process := func(kind string) object {
		return event(kind).str("id", e.Path).str("kind", e.Of.String())
	}
	switch e.Kind {
	case Started:
		t.starts[e.Path]++
		t.lives[life{e.Path, e.Incarnation}] = t.starts[e.Path]
		t.newest[e.Path] = e.Incarnation
		return entry{text: process("start").num("inc", t.starts[e.Path]).end()}
	case Stopped:
		inc := t.lives[life{e.Path, e.Incarnation}]
		text := process("stop").num("inc", inc).str("reason", e.Reason).end()
		return entry{text: text, group: e.group("stop ", parent(e.Path))}
	case Ignored:
		return entry{text: process("ignore").end()}
	case StartError:
		return entry{text: process("start_error").str("reason", e.Reason).end()}
	case Gate:
		return entry{text: event("gate").str("id", e.Path).end()}
	default:
		o := event("report").str("sup", e.Path).str("context", e.Context).str("child", e.Child)
		if e.Count > 0 {
			o = o.num("count", e.Count)
		}
		return entry{text: o.str("reason", e.Reason).end(), group: e.group("report ", e.Path)}
	}
}

// group names the group of an event that has no order in it.
func (e *Event) group(what, sup string) string {
	if e.Parallel {
		return what + sup
	}
	return ""
}

func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}
