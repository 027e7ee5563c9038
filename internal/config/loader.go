package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// loader is one load: what was read, and what was wrong with it.
type loader struct {
	files    []*source         // in the order in which they were read
	tables   map[string]*table // of included files, by real path; nil: wrong
	errors   []Diagnostic
	warnings []Diagnostic
	seen     map[Diagnostic]bool // said already: one default reaches many children
	accounts accounts
	count    int // of children, in the whole tree
}

// maxText is the most bytes in one message, which may quote what was read.
const maxText = 1000

// scope is where a table is read.
type scope struct {
	path        string // of the supervisor
	depth       int    // of the supervisor, the root's being 1
	defaults    view   // innermost file first
	files       []string
	containment string
	alone       bool // a child without its supervisor: LoadChild
}

func newLoader() *loader {
	return &loader{tables: map[string]*table{}, seen: map[Diagnostic]bool{}, accounts: newAccounts()}
}

// placed is what a message can point to: a spot, and all that has one.
type placed interface{ place() Place }

// wrong records an error.
func (l *loader) wrong(at placed, format string, args ...any) {
	l.add(Diagnostic{Place: at.place(), Text: fmt.Sprintf(format, args...)})
}

// warn records a warning.
func (l *loader) warn(at placed, format string, args ...any) {
	l.add(Diagnostic{Place: at.place(), Text: fmt.Sprintf(format, args...), Warning: true})
}

func (l *loader) add(d Diagnostic) {
	list := &l.errors
	if d.Warning {
		list = &l.warnings
	}
	if l.seen[d] || len(*list) > MaxErrors {
		return
	}
	l.seen[d] = true
	if len(*list) == MaxErrors {
		d.Text = fmt.Sprintf("and more: %d of them are told", MaxErrors)
	}
	if len(d.Text) > maxText {
		d.Text = strings.ToValidUTF8(d.Text[:maxText], "") + "…"
	}
	d.Text = strings.Map(printable, d.Text)
	*list = append(*list, d)
}

// printable keeps what a message quotes from moving the terminal's cursor.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// full says that whatever is wrong from now on is not told.
func (l *loader) full() bool { return len(l.errors) > MaxErrors }

// result is the error of a load, nil where nothing is wrong.
func (l *loader) result() error {
	if len(l.errors) == 0 {
		return nil
	}
	return l.sorted(l.errors)
}

// sorted puts diagnostics in order of place: the files as they were read, and
// each from its top.
func (l *loader) sorted(ds []Diagnostic) Diagnostics {
	order := make(map[string]int, len(l.files))
	for i, src := range l.files {
		order[src.name] = i
	}
	sort.SliceStable(ds, func(i, j int) bool {
		a, b := ds[i].Place, ds[j].Place
		if a.File != b.File {
			return order[a.File] < order[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return ds
}

func (l *loader) names() []string {
	names := make([]string, len(l.files))
	for i, src := range l.files {
		names[i] = src.name
	}
	return names
}

// include reads the file that a child's tree names. nil: it cannot be used.
func (l *loader) include(e entry, in scope) (root *table, file string) {
	path, ok := l.text(e)
	if !ok {
		return nil, ""
	}
	abs, shown := path, path
	if !filepath.IsAbs(path) {
		abs = filepath.Join(e.src.dir, path)
		shown = filepath.Join(filepath.Dir(e.src.name), path)
	}
	real := realPath(abs)
	if slices.Contains(in.files, real) {
		l.wrong(e, "tree %q is a cycle: the file includes itself, by way of %s", path, chain(in.files, real))
		return nil, ""
	}
	if known, read := l.tables[real]; read {
		return known, real
	}
	l.tables[real] = nil
	src, err := readRegular(abs)
	if err != nil {
		l.wrong(e, "reading tree %q: %v", path, err)
		return nil, ""
	}
	src.name, src.dir = shown, filepath.Dir(abs)
	root, ok = l.parse(src)
	if !ok {
		return nil, ""
	}
	l.keys(root, inFile)
	l.tables[real] = root
	return root, real
}

// chain writes the files of a cycle by their base names.
func chain(files []string, last string) string {
	first := slices.Index(files, last)
	var names []string
	for _, f := range append(slices.Clone(files[first:]), last) {
		names = append(names, filepath.Base(f))
	}
	return strings.Join(names, " → ")
}

// readRegular reads an included file, which must be one that ends: opening a
// FIFO would wait for a writer.
func readRegular(path string) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("longer than %d MiB", MaxFile>>20)
	}
	return newSource(path, text)
}
