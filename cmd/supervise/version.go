package main

import (
	"context"
	"fmt"
	"runtime"
)

// versionCommand says which program this is.
type versionCommand struct{ json bool }

func (c *versionCommand) About() about {
	return about{name: "version", summary: "print the version of this program"}
}

// Flags declares the form.
func (c *versionCommand) Flags(f *flags) { f.BoolVar(&c.json, "json", "print JSON") }

// Run prints it.
func (c *versionCommand) Run(_ context.Context, io *stdio, words []string) error {
	if err := noWords("version", words); err != nil {
		return err
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if c.json {
		return printJSON(io, map[string]string{"version": version, "go": runtime.Version(), "platform": platform})
	}
	_, err := fmt.Fprintf(io.out, "supervise %s (%s, %s)\n", version, runtime.Version(), platform)
	return err
}
