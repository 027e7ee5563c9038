package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"unicode/utf8"
)

// source is one file's text.
type source struct {
	name  string // as messages show it
	real  string // absolute, without symbolic links: two names of one file agree in it
	dir   string // absolute: where the file's relative paths start
	text  []byte
	lines []int // the offset of each line's first byte
}

// spot is a place in a source, before anybody has asked for its line.
type spot struct {
	src    *source
	offset int
}

// readSource reads the file that the user named.
func readSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &ReadError{path, cause(err)}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, &ReadError{path, cause(err)}
	}
	return newSource(path, text)
}

// cause is an error without the path, which the message names already.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// newSource wraps a text. Too long a text is wrong as a whole.
func newSource(name string, text []byte) (*source, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, &ReadError{name, err}
	}
	if len(text) > MaxFile {
		what := fmt.Sprintf("the file is longer than %d MiB", MaxFile>>20)
		return nil, Diagnostics{{Place: Place{File: name}, Text: what}}
	}
	s := &source{name: name, real: realPath(abs), dir: filepath.Dir(abs)}
	s.text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	s.lines = []int{0}
	for i, b := range s.text {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s, nil
}

// realPath follows symbolic links where it can.
func realPath(abs string) string {
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	return abs
}

// at is the spot at an offset.
func (s *source) at(offset int) spot { return spot{s, offset} }

// place finds the line and the column.
func (s spot) place() Place {
	offset := min(max(s.offset, 0), len(s.src.text))
	line := sort.SearchInts(s.src.lines, offset+1) - 1
	start := s.src.lines[line]
	column := utf8.RuneCount(s.src.text[start:offset]) + 1
	return Place{s.src.name, line + 1, column}
}

// before says whether s stands before t, both in one source.
func (s spot) before(t spot) bool { return s.offset < t.offset }
