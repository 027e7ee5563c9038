package stage

import (
	"os"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/node"
	"github.com/supertrees/supervise/internal/sim"
	"github.com/supertrees/supervise/tree"
)

// Perform runs scenarios on real processes, one after another, and gives each
// one's trace, or why there is none, to done. It must be called on the main
// thread, locked; binary is supervise's own.
func Perform(binary string, scenarios []*sim.Scenario, done func(*sim.Scenario, []byte, error)) error {
	engine, err := child.New(child.Options{Path: "/", Containment: child.LevelBasic})
	if err != nil {
		return err
	}
	for _, s := range scenarios {
		trace, err := perform1(engine, binary, s)
		done(s, trace, err)
	}
	return nil
}

func perform1(engine *child.Engine, binary string, s *sim.Scenario) (trace []byte, err error) {
	w, err := New(binary)
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
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		trace, err = sim.RunOn(s, w)
	}()
	w.node.Run(w)
	<-ended
	return trace, err
}
