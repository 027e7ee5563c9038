// Package config reads TOML into the specs that the nodes need.
//
// Text is decoded by BurntSushi/toml; the places in messages come from the
// syntax tree of pelletier/go-toml, which knows them exactly. A file is read
// to its end, whatever is wrong with it, so that every error comes at once.
package config

import (
	"path/filepath"
	"strings"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// The bounds of a configuration. They are far over what a tree of processes
// on one machine can use, and end a load that would not end by itself.
const (
	MaxDepth    = 32       // supervisors on one path, the root included
	MaxChildren = 100_000  // in the whole tree
	MaxFile     = 16 << 20 // bytes in one file
	MaxName     = 128      // characters in a name: it becomes a file's name under /sys/fs/cgroup
	MaxErrors   = 1000     // that are told, and as many warnings
)

// Config is a tree that may be started.
type Config struct {
	File string // as it was given to Load
	Name string // of the root; the file's base name where it has none
	Tree *child.Subtree
	// Socket is where the control socket goes, as an absolute path. "": nothing is said.
	Socket string
	// Containment is "basic" or "cgroup", or "" for the best that there is.
	Containment string
	// Warnings are the traps that were seen, sorted by place. None of them
	// keeps the tree from starting.
	Warnings Diagnostics
	// Files are all files that were read, File first.
	Files []string
}

// Child is one child with all that is below it, to be started in a running
// tree. Exactly one of Worker and Supervisor is set.
type Child struct {
	Spec       tree.ChildSpec
	Worker     *child.Process
	Supervisor *child.Subtree
	Warnings   Diagnostics
}

// Load reads a tree from a file and from those that it includes. An error is
// a *ReadError where path itself cannot be read, and otherwise Diagnostics:
// all that is wrong, sorted by place.
func Load(path string) (*Config, error) {
	l := newLoader()
	src, err := readSource(path)
	if err != nil {
		return nil, err
	}
	return l.config(src)
}

// Parse is Load for a text that is already there. Messages call it name, and
// its relative paths start in the directory of that name.
func Parse(name string, text []byte) (*Config, error) {
	src, err := newSource(name, text)
	if err != nil {
		return nil, err
	}
	return newLoader().config(src)
}

// LoadChild reads a file that holds one child's table, either as the keys of
// the file's root or as its only [[child]], for a start below the supervisor
// at the path parent. What only that supervisor knows, as whether the name is
// free there and whether a significant child makes sense, is for it to check.
// Errors are those of Load.
func LoadChild(path, parent string) (*Child, error) {
	src, err := readSource(path)
	if err != nil {
		return nil, err
	}
	return newLoader().single(src, parent)
}

// ParseChild is LoadChild for a text that is already there.
func ParseChild(name string, text []byte, parent string) (*Child, error) {
	src, err := newSource(name, text)
	if err != nil {
		return nil, err
	}
	return newLoader().single(src, parent)
}

// config reads the root of a tree.
func (l *loader) config(src *source) (*Config, error) {
	root, ok := l.parse(src)
	if !ok {
		return nil, l.result()
	}
	l.keys(root, inRoot)
	c := &Config{File: src.name, Name: rootName(src.name)}
	if e, ok := root.get("name"); ok {
		c.Name, _ = l.name(e)
	}
	if e, ok := root.get("containment"); ok {
		c.Containment = pick(l, e, containments)
	}
	if e, ok := root.get("control"); ok {
		c.Socket = l.control(e)
	}
	in := scope{path: "/", depth: 1, files: []string{src.real}, containment: c.Containment}
	in.defaults = l.defaults(root, nil)
	c.Tree = l.supervisor(view{root}, in)
	c.Warnings = l.sorted(l.warnings)
	c.Files = l.names()
	return c, l.result()
}

// control reads the [control] table.
func (l *loader) control(e entry) string {
	t, ok := l.table(e, "[control]")
	if !ok {
		return ""
	}
	l.known(t, "[control]", controlKeys)
	s, ok := t.get("socket")
	if !ok {
		return ""
	}
	path, ok := l.path(s)
	if ok && len(path) > maxSocket {
		l.wrong(s, "socket %q is %d bytes long, and a socket's path has room for %d", path, len(path), maxSocket)
	}
	return path
}

// maxSocket is what sockaddr_un holds, less its NUL.
const maxSocket = 107

// single reads one child's table.
func (l *loader) single(src *source, parent string) (*Child, error) {
	root, ok := l.parse(src)
	if !ok {
		return nil, l.result()
	}
	if t, ok := onlyChild(root); ok {
		root = t
	}
	in := scope{path: parent, depth: depth(parent), files: []string{src.real}, alone: true}
	var above child.Subtree
	above.Workers, above.Supervisors = map[string]*child.Process{}, map[string]*child.Subtree{}
	l.child(root, in, &above, map[string]spot{})
	if err := l.result(); err != nil {
		return nil, err
	}
	spec := above.Spec.Children[0]
	return &Child{
		Spec:       spec,
		Worker:     above.Workers[spec.ID],
		Supervisor: above.Supervisors[spec.ID],
		Warnings:   l.sorted(l.warnings),
	}, nil
}

// onlyChild is the one [[child]] of a file that holds nothing else.
func onlyChild(root *table) (*table, bool) {
	e, ok := root.get("child")
	if !ok || len(root.entries) != 1 {
		return nil, false
	}
	list, ok := e.data.([]value)
	if !ok || len(list) != 1 {
		return nil, false
	}
	t, ok := list[0].data.(*table)
	return t, ok
}

// depth counts the supervisors on a path, the root and the last one included.
func depth(path string) int {
	if path == "/" {
		return 1
	}
	return 1 + strings.Count(path, "/")
}

// below is the path of a child.
func below(path, name string) string {
	return strings.TrimSuffix(path, "/") + "/" + name
}

// rootName makes a name of a file's: its base name without the ending, with a
// dash for what a name may not hold.
func rootName(file string) string {
	base := filepath.Base(file)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '-'
	}, base)
	name = strings.TrimLeft(name, "-_.")
	if name == "" {
		return "tree"
	}
	return name[:min(len(name), MaxName)]
}
