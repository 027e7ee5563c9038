package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/internal/stage"
)

// simulateCommand runs scenarios and prints their traces.
type simulateCommand struct {
	processes bool
}

func (c *simulateCommand) About() about {
	return about{
		name:    "simulate",
		args:    "FILE...",
		summary: "run a scenario and print its trace",
		details: "The scenario runs on the same decision code as a tree, in virtual time; its trace is the one that Erlang/OTP's own supervisor " +
			"leaves. With -processes it runs on real nodes and workers instead. Of several files, each trace follows a line that names its scenario. " +
			"Status 65 says that a file is no scenario.",
	}
}

// Flags declares what the scenario runs on.
func (c *simulateCommand) Flags(f *flags) {
	f.BoolVar(&c.processes, "processes", "run it on real processes")
}

// Run prints the traces.
func (c *simulateCommand) Run(_ context.Context, io *stdio, files []string) error {
	if len(files) == 0 {
		return usage("simulate", "name the scenario's file")
	}
	if !c.processes {
		return scenarioError(sim.Print(io.out, files, func() (sim.World, error) { return sim.NewVirtual(), nil }))
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary for the workers: %w", err)
	}
	return scenarioError(stage.Perform(binary, func(world func() (sim.World, error)) error {
		return sim.Print(io.out, files, world)
	}))
}

// scenarioError gives a file that is no scenario its own status.
func scenarioError(err error) error {
	var unreadable *sim.UnreadableError
	if !errors.As(err, &unreadable) {
		return err
	}
	fmt.Fprintln(os.Stderr, "supervise:", err)
	return exit(statusScenario)
}
