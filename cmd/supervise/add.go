package main

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"

	"github.com/supertrees/supervise/internal/config"
	"github.com/supertrees/supervise/internal/control"
)

// addCommand starts a new child in a running tree.
type addCommand struct {
	order
	spec string
}

func (c *addCommand) About() about {
	return about{
		name:    "add",
		args:    "PATH [-- ARG...]",
		summary: "start a new child of the supervisor at PATH",
		details: "OTP's start_child: the child is the last among its siblings. With -spec, the file holds its table, as the keys of [[child]] at the top or as its only [[child]]. " +
			"Without, PATH is a simple_one_for_one supervisor, which starts one more instance; each ARG is added to its command. A start that fails leaves nothing behind.",
	}
}

// Flags declares where the spec is.
func (c *addCommand) Flags(f *flags) {
	f.StringVar(&c.spec, "spec", "FILE", "the child, in TOML")
	c.order.Flags(f)
}

// Run reads the spec, and has the tree start it.
func (c *addCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if len(words) == 0 || words[0] == "" {
		return usage("add", "add takes a PATH")
	}
	at, body := nodePath(words[0]), control.AddBody{Args: words[1:]}
	if c.spec != "" && len(words) > 1 {
		return usage("add", "add takes no words after the PATH when there is a -spec, and not %q", words[1])
	}
	if c.spec == "" {
		client, err := c.client(io)
		if err != nil {
			return err
		}
		return c.give(ctx, io, client, "add", at, url.Values{}, body)
	}
	spec, err := config.LoadChild(c.spec, at)
	if err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	if at, spec, err = c.place(ctx, client, at, spec); err != nil {
		return err
	}
	for _, warning := range spec.Warnings {
		fmt.Fprintln(io.err, warning)
	}
	body.Child = &control.Child{Spec: spec.Spec, Worker: spec.Worker, Supervisor: spec.Supervisor}
	return c.give(ctx, io, client, "add", at, url.Values{}, body)
}

// place understands the path that the child is to have, too, where nothing is
// at that path and its supervisor is there.
func (c *addCommand) place(ctx context.Context, client *control.Client, at string, spec *config.Child) (string, *config.Child, error) {
	var there []string
	if at == "/" || path.Base(at) != spec.Spec.ID {
		return at, spec, nil
	}
	if err := client.Get(ctx, "paths", "", nil, &there); err != nil {
		return "", nil, err
	}
	if slices.Contains(there, at) {
		return at, spec, nil
	}
	spec, err := config.LoadChild(c.spec, path.Dir(at))
	return path.Dir(at), spec, err
}
