package sim

import (
	"fmt"
	"slices"

	"github.com/supertrees/supervise/tree"
)

// runner carries out the steps of one scenario and writes its trace.
type runner struct {
	world   World
	trace   *trace
	root    string
	pending []pending // async requests without an answer, in order of issue
}

type pending struct {
	key  int
	tag  string
	call Call
}

// RunOn runs a scenario on a World, which it closes, and returns the trace.
func RunOn(s *Scenario, w World) (out []byte, err error) {
	defer func() {
		if e := w.Close(); err == nil {
			err = e
		}
	}()
	r := &runner{world: w, trace: newTrace(), root: s.Root.Spec.ID}
	if err := r.start(s.Root); err != nil {
		return nil, err
	}
	for i := range s.Steps {
		if err := r.step(i+1, &s.Steps[i]); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if err := r.end(len(s.Steps) + 1); err != nil {
		return nil, err
	}
	return r.trace.out, nil
}

func (r *runner) start(root *Child) error {
	r.trace.step(0, OpStart)
	r.world.Boot(0, root)
	if err := r.settle(false); err != nil {
		return err
	}
	if a, ok := r.world.Answer(0); ok {
		r.trace.result(0, r.trace.value(nil, a))
	}
	return nil
}

// settle waits until nothing is left to do, and writes what happened.
func (r *runner) settle(unordered bool) error {
	err := r.world.Settle()
	r.trace.events(r.world.Events(), unordered)
	return err
}

// step carries out step n.
func (r *runner) step(n int, s *Step) error {
	r.trace.step(n, s.Op)
	result, asked := r.issue(n, s)
	if err := r.settle(s.Unordered); err != nil {
		return err
	}
	if asked {
		if a, ok := r.world.Answer(n); ok {
			result = r.trace.value(&s.Call, a)
		}
	}
	if result != "" && s.Op != OpSuspend && s.Op != OpResume {
		r.trace.result(n, result)
	}
	r.answers()
	return nil
}

// issue begins step n. It gives the result, if that is known at once, and
// otherwise whether an answer is to come.
func (r *runner) issue(n int, s *Step) (result string, asked bool) {
	switch s.Op {
	case OpExit:
		return found(r.world.Exit(s.Path, s.How)), false
	case OpRelease:
		return found(r.world.Release(s.Path)), false
	case OpAdvance:
		r.world.Advance(s.Advance)
		return "", false
	case OpAsyncStop:
		r.world.Stop(n)
		return "", false
	case OpCheckChildspecs:
		return check(s), false
	}
	call := s.Call
	r.resolve(&call)
	r.world.Call(n, call)
	if s.Async {
		r.pending = append(r.pending, pending{key: n, tag: s.Tag, call: call})
	}
	return "", !s.Async
}

// resolve gives the name of an instance its newest life, as a pid is one.
func (r *runner) resolve(call *Call) {
	if call.Op == OpTerminateChild || call.Op == OpGetChildspec {
		call.Ref.Incarnation = r.trace.newest[call.Sup+"/"+call.Ref.ID]
	}
}

func found(ok bool) string {
	if ok {
		return `"ok"`
	}
	return `"not_running"`
}

// check is check_childspecs.
func check(s *Step) string {
	auto := tree.AutoShutdownUnknown
	if s.CheckAuto {
		if auto = s.Children.Flags.AutoShutdown; auto == wrong {
			return `"error:badarg"`
		}
	}
	specs := make([]tree.ChildSpec, len(s.Children.Children))
	for i, c := range s.Children.Children {
		specs[i] = c.Spec
	}
	if err := tree.CheckChildren(specs, auto); err != nil {
		return quote("error:" + err.Error())
	}
	return `"ok"`
}

// answers writes the answers of async requests that have come.
func (r *runner) answers() {
	r.pending = slices.DeleteFunc(r.pending, func(p pending) bool {
		a, ok := r.world.Answer(p.key)
		if ok {
			r.trace.line(event("async_result").str("tag", p.tag).raw("value", r.trace.value(&p.call, a)).end())
		}
		return ok
	})
}

// end asks every live supervisor what it has, and stops the root.
func (r *runner) end(n int) error {
	r.trace.step(n, OpFinal)
	for i, sup := range r.world.Supervisors(false) {
		if err := r.ask(n+2+2*i, sup); err != nil {
			return err
		}
	}
	if slices.Contains(r.world.Alive(), r.root) {
		if err := r.stop(n + 1); err != nil {
			return err
		}
	}
	o := event("end").raw("alive", list(r.world.Alive()))
	if len(r.pending) > 0 {
		tags := make([]string, len(r.pending))
		for i, p := range r.pending {
			tags[i] = p.tag
		}
		o = o.raw("pending", list(tags))
	}
	r.trace.line(o.end())
	return nil
}

// ask writes which_children and count_children of one supervisor. One that is
// blocked gives no answer.
func (r *runner) ask(key int, sup string) error {
	which, count := Call{Op: OpWhichChildren, Sup: sup}, Call{Op: OpCountChildren, Sup: sup}
	r.world.Call(key, which)
	r.world.Call(key+1, count)
	if err := r.settle(false); err != nil {
		return err
	}
	if a, ok := r.world.Answer(key); ok {
		r.trace.line(event("which_children").str("sup", sup).raw("children", r.trace.value(&which, a)).end())
	}
	if a, ok := r.world.Answer(key + 1); ok {
		r.trace.line(event("count_children").str("sup", sup).raw("counts", r.trace.value(&count, a)).end())
	}
	return nil
}

func (r *runner) stop(n int) error {
	r.trace.step(n, OpStop)
	for _, sup := range r.world.Supervisors(true) {
		r.world.Call(-1, Call{Op: OpResume, Sup: sup})
		if err := r.world.Settle(); err != nil {
			return err
		}
	}
	r.world.Stop(n)
	if err := r.settle(false); err != nil {
		return err
	}
	if a, ok := r.world.Answer(n); ok {
		r.trace.result(n, r.trace.value(nil, a))
	}
	r.answers()
	return nil
}

func list(words []string) string {
	out := []byte{'['}
	for i, w := range words {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, quote(w)...)
	}
	return string(append(out, ']'))
}
