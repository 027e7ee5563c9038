package stage

import (
	"os"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// Perform has play run with Worlds of real processes: each call of world makes
// one, which is to be closed before the next. It must be called on the main
// thread, locked; binary is supervise's own.
func Perform(binary string, play func(world func() (sim.World, error)) error) error {
	engine, err := child.New(child.Options{Path: "/", Containment: child.LevelBasic})
	if err != nil {
		return err
	}
	worlds := make(chan *World)
	ended := make(chan error, 1)
	go func() {
		ended <- play(func() (sim.World, error) {
			w, err := stage(engine, binary)
			if err == nil {
				worlds <- w
			}
			return w, err
		})
	}()
	for {
		select {
		case w := <-worlds:
			w.node.Run(w)
		case err := <-ended:
			return err
		}
	}
}

// stage makes a World with the node that stands above the scenario's root.
func stage(engine *child.Engine, binary string) (*World, error) {
	w, err := newWorld(binary)
	if err != nil {
		return nil, err
	}
	w.node, err = node.New(node.Config{
		Engine: engine,
		Subtree: &child.Subtree{
			Path: "/", Containment: child.LevelBasic,
			Spec: tree.Spec{Intensity: tree.Unlimited, Period: 1},
		},
		Options: node.Options{
			Env:  []string{envStage + "=" + w.dir},
			Sink: SinkPath(w.dir),
		},
	})
	if err != nil {
		w.listen.close()
		os.RemoveAll(w.dir)
		return nil, err
	}
	return w, nil
}
