package main

import (
	"encoding/json"
	"strings"

	"github.com/supertrees/supervise/internal/config"
	"github.com/supertrees/supervise/internal/control"
)

// place is where a tree is, as far as the command line says.
type place struct {
	config string
	socket string
}

// target is the tree that a command talks to. Commands embed it.
type target struct {
	place
	json bool
}

// talker is a command that talks to a running tree.
type talker interface{ reach() *target }

func (t *target) reach() *target { return t }

// flags declares the flags that every talker has; from is what was said before
// the command's name.
func (t *target) flags(f *flags, from place) {
	t.place = from
	f.StringVar(&t.socket, "socket", "FILE", "the control socket of the tree")
	f.StringVar(&t.config, "config", "FILE", "the tree that runs from this file")
	f.BoolVar(&t.json, "json", "print JSON")
}

// client finds the tree.
func (t *target) client(io *stdio) (*control.Client, error) {
	configured := ""
	if t.config != "" && t.socket == "" && io.getenv("SUPERVISE_SOCKET") == "" {
		c, err := config.Load(t.config)
		if err != nil {
			return nil, err
		}
		if configured = c.Socket; configured == "" {
			configured = control.Default(c.Name, io.getenv)
		}
	}
	socket, err := control.Find(t.socket, configured, io.getenv)
	if err != nil {
		return nil, err
	}
	return &control.Client{Socket: socket}, nil
}

// nodePath is a path as people type it: the slash in front may be left out.
func nodePath(word string) string {
	if !strings.HasPrefix(word, "/") {
		word = "/" + word
	}
	if len(word) > 1 {
		word = strings.TrimSuffix(word, "/")
	}
	return word
}

// onePath is the only word of a command that takes one path.
func onePath(command string, words []string) (string, error) {
	if len(words) != 1 || words[0] == "" {
		return "", usage(command, "%s takes one PATH", command)
	}
	return nodePath(words[0]), nil
}

// noWords is for a command that takes none.
func noWords(command string, words []string) error {
	if len(words) > 0 {
		return usage(command, "%s takes no words, and not %q", command, words[0])
	}
	return nil
}

// printJSON prints one value on a line.
func printJSON(io *stdio, value any) error {
	e := json.NewEncoder(io.out)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}
