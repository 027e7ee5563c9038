package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/supertrees/supervise/internal/sim"
)

// generator makes one scenario up. What it does next depends on what lives by
// then, which it learns by running what it has.
type generator struct {
	*rand.Rand
	root  object
	steps []object
	specs map[string]object // what was last put under a path
	state state

	clock, gates, bursts, changes, kills, impatient bool
	tags, names                                     int
}

// maxDepth is where there are no supervisors any more.
const maxDepth = 2

type object = map[string]any

// scenario makes up the scenario of a seed.
func scenario(seed uint64) ([]byte, error) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), specs: map[string]object{}}
	g.clock, g.gates, g.bursts = g.one(3), g.one(3), g.one(3)
	g.changes, g.kills = g.one(6), g.one(6)
	g.impatient = g.kills && !g.gates && g.one(2)
	g.root = g.supervisor("root", 0, "")
	g.root["id"] = "root"
	if g.one(25) {
		g.spoil(g.root)
	}
	for range 3 + g.IntN(16) {
		if err := g.look(); err != nil {
			return nil, err
		}
		g.steps = append(g.steps, g.step())
	}
	// Nothing may be blocked at the end: OTP would wait for ever.
	for range 40 {
		if err := g.look(); err != nil {
			return nil, err
		}
		if g.state.gate != "" {
			g.steps = append(g.steps, g.release())
		} else if len(g.state.suspended) > 0 {
			g.steps = append(g.steps, g.resume())
		} else {
			break
		}
	}
	if g.impatient { // the order in which a killed supervisor's children end is open
		g.steps = append(g.steps, object{"op": "async_stop"})
		for _, s := range g.steps {
			s["unordered"] = true
		}
	}
	return g.text(fmt.Sprintf("random-%d", seed))
}

func (g *generator) text(name string) ([]byte, error) {
	data, err := json.MarshalIndent(object{"name": name, "root": g.root, "steps": g.steps}, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return data, nil
}

// look runs what there is so far.
func (g *generator) look() error {
	if g.steps == nil {
		g.steps = []object{}
	}
	data, err := g.text("prefix")
	if err != nil {
		return err
	}
	s, err := sim.Read(data)
	if err != nil {
		return fmt.Errorf("reading what was made up: %w\n%s", err, data)
	}
	trace, err := sim.Run(s)
	if err != nil {
		return fmt.Errorf("running what was made up: %w", err)
	}
	g.state = stateOf(trace, g.state.suspended)
	return nil
}

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) supervisor(path string, depth int, parentAuto string) object {
	o := object{"type": "supervisor", "strategy": pick(g, "one_for_one", "one_for_all", "rest_for_one")}
	if depth > 0 && g.one(5) || depth == 0 && g.one(12) {
		o["strategy"] = "simple_one_for_one"
	}
	o["intensity"] = pick(g, 0, 1, 1, 2, 3, 5)
	o["period"] = 3600
	if g.clock {
		o["period"] = 1 + g.IntN(5)
	}
	auto := pick(g, "", "", "never", "any_significant", "all_significant")
	if o["strategy"] == "simple_one_for_one" {
		auto = ""
	}
	if auto != "" {
		o["auto_shutdown"] = auto
	}
	g.asChild(o, parentAuto)
	children := []any{}
	n := g.IntN(5)
	if o["strategy"] == "simple_one_for_one" {
		n = 1
	}
	for i := range n {
		id := string(rune('a' + i))
		if o["strategy"] == "simple_one_for_one" {
			id = "t"
		}
		children = append(children, g.child(path+"/"+id, id, depth, auto, o["strategy"] == "simple_one_for_one"))
	}
	o["children"] = children
	g.specs[path] = o
	return o
}

// asChild gives what a child has, of either kind.
func (g *generator) asChild(o object, parentAuto string) {
	o["restart"] = pick(g, "permanent", "transient", "temporary")
	if strings.HasSuffix(parentAuto, "significant") && o["restart"] != "permanent" && g.one(2) {
		o["significant"] = true
	}
}

func (g *generator) child(path, id string, depth int, auto string, simple bool) object {
	var o object
	if !simple && depth < maxDepth && g.one(3) {
		o = g.supervisor(path, depth+1, auto)
		if g.impatient && g.one(2) {
			o["shutdown"] = pick[any](g, "brutal_kill", 50, 100)
		}
	} else {
		o = object{}
		g.asChild(o, auto)
		g.behave(o)
	}
	o["id"] = id
	if !simple && g.one(4) {
		g.starts(o, false)
	}
	g.specs[path] = o
	return o
}

// behave says how a worker takes an order to stop.
func (g *generator) behave(o object) {
	switch g.IntN(8) {
	case 0:
		o["on_shutdown"] = "abnormal"
	case 1:
		o["on_shutdown"], o["shutdown"] = "ignore", pick(g, 50, 100)
	case 2:
		o["shutdown"] = "brutal_kill"
	case 3:
		o["shutdown"] = "infinity"
	}
}

func (g *generator) starts(o object, instance bool) {
	later := []string{"ok", "ok", "error", "error"}
	if g.gates {
		later = append(later, "gate_ok", "gate_error", "gate_error")
	}
	if !instance { // OTP 25 keeps a process that is none: we do as later ones
		later = append(later, "ignore")
		if g.gates {
			later = append(later, "gate_ignore")
		}
	}
	starts := []any{pick(g, "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ignore", "error")}
	for range 1 + g.IntN(4) {
		starts = append(starts, pick(g, later...))
	}
	o["starts"] = append(starts, pick(g, "ok", "ok", "ok", "error"))
}

// spoil puts a wrong value into a supervisor, or somewhere below it.
func (g *generator) spoil(o object) {
	if children, ok := o["children"].([]any); ok && len(children) > 0 && g.one(2) {
		g.spoil(children[g.IntN(len(children))].(object))
		return
	}
	type wrong struct {
		key   string
		value any
	}
	w := pick(g, wrong{"restart", "always"}, wrong{"shutdown", -1}, wrong{"shutdown", "never"}, wrong{"significant", true},
		wrong{"significant", 1}, wrong{"type", "server"}, wrong{"no_start", true}, wrong{"strategy", "none"}, wrong{"intensity", -1},
		wrong{"intensity", "infinity"}, wrong{"period", 0}, wrong{"period", "long"}, wrong{"auto_shutdown", "yes"}, wrong{"id", "a"})
	if w.key == "type" && o["type"] == "supervisor" || w.key == "id" && o["id"] == "root" {
		return
	}
	o[w.key] = w.value
}

// step makes up the next step.
func (g *generator) step() object {
	s := &g.state
	switch {
	case s.gate != "":
		return g.whileBlocked()
	case len(s.suspended) > 0 && g.one(3):
		return g.resume()
	case len(s.suspended) > 0 && g.one(2):
		return g.whileSuspended()
	case g.one(25):
		return g.check()
	case g.clock && g.one(4):
		return object{"op": "advance", "ms": pick(g, 300, 700, 1000, 1300, 2000, 3000)}
	case g.bursts && g.one(5) && len(s.sups) > 0:
		return g.suspend()
	case g.kills && g.one(4) && !g.gates && len(s.sups) > 1:
		return object{"op": "exit", "child": s.sups[1+g.IntN(len(s.sups)-1)], "how": "kill", "unordered": true}
	case g.changes && g.one(4) && len(s.sups) > 0:
		return g.change()
	case g.one(2) && len(s.workers) > 0:
		return g.exit(pick(g, s.workers...))
	case g.one(60):
		return g.exit("root/nobody")
	case len(s.sups) > 0:
		return g.call(pick(g, s.sups...))
	default:
		return pick(g, object{"op": "which_children", "sup": "root"}, object{"op": "exit", "child": "root/a", "how": "kill"})
	}
}

func (g *generator) exit(path string) object {
	return object{"op": "exit", "child": path, "how": pick(g, "normal", "abnormal", "abnormal", "abnormal", "kill", "shutdown", "shutdown_term")}
}

func (g *generator) release() object { return object{"op": "release", "child": g.state.gate} }

func (g *generator) suspend() object {
	sup := pick(g, g.state.sups...)
	g.state.suspended = append(g.state.suspended, sup)
	return object{"op": "suspend", "sup": sup}
}

func (g *generator) resume() object {
	i := g.IntN(len(g.state.suspended))
	sup := g.state.suspended[i]
	g.state.suspended = slices.Delete(g.state.suspended, i, i+1)
	return object{"op": "resume", "sup": sup}
}

// whileSuspended does what a suspended supervisor queues, or obeys.
func (g *generator) whileSuspended() object {
	sup := pick(g, g.state.suspended...)
	if g.one(30) {
		return object{"op": "async_stop"}
	}
	return g.queued(sup)
}

// whileBlocked does what the blocked supervisor queues, or ends the block. An
// order to stop what is blocked is left out: there we do otherwise than OTP.
func (g *generator) whileBlocked() object {
	if g.one(2) {
		return g.release()
	}
	return g.queued(g.state.blocked)
}

// queued makes up what goes into the queue of a supervisor.
func (g *generator) queued(sup string) object {
	var children []string
	for _, w := range g.state.workers {
		// A death below a supervisor that is still starting is left out: when
		// that one is up, it and its parent act at the same time.
		if parent(w) == sup {
			children = append(children, w)
		}
	}
	if len(children) > 0 && g.one(2) {
		return g.exit(pick(g, children...))
	}
	g.tags++
	return object{"op": "async", "tag": fmt.Sprintf("t%d", g.tags), "call": g.call(sup)}
}

// call makes up a request.
func (g *generator) call(sup string) object {
	spec := g.specs[sup]
	simple := spec != nil && spec["strategy"] == "simple_one_for_one"
	op := pick(g, "terminate_child", "terminate_child", "delete_child", "restart_child", "restart_child", "get_childspec",
		"start_child", "start_child", "start_child", "which_children", "count_children")
	o := object{"op": op, "sup": sup}
	switch op {
	case "which_children", "count_children":
	case "start_child":
		if simple {
			g.instance(o)
		} else {
			g.newChild(o, sup)
		}
	default:
		o["child"] = pick(g, g.ids(sup)...)
	}
	return o
}

// ids are the names that a supervisor may know.
func (g *generator) ids(sup string) []string {
	ids := []string{"none", "a", "t"}
	for path := range g.specs {
		if parent(path) == sup {
			ids = append(ids, path[len(sup)+1:], path[len(sup)+1:])
		}
	}
	for _, w := range g.state.workers {
		if parent(w) == sup {
			ids = append(ids, w[len(sup)+1:])
		}
	}
	slices.Sort(ids)
	return ids
}

func (g *generator) instance(o object) {
	sup := o["sup"].(string)
	label := fmt.Sprintf("w%d", 1+g.IntN(4))
	if g.state.gate != "" || len(g.state.suspended) > 0 || slices.Contains(g.state.workers, sup+"/"+label) {
		g.names++ // that one may not be free
		label = fmt.Sprintf("x%d", g.names)
	}
	o["label"] = label
	if g.one(2) {
		b := object{}
		if g.one(3) {
			b["on_shutdown"] = "abnormal"
		}
		if g.one(2) {
			g.starts(b, true)
		}
		o["behaviour"] = b
	}
}

func (g *generator) newChild(o object, sup string) {
	g.names++
	id := fmt.Sprintf("n%d", g.names)
	if g.one(4) {
		id = pick(g, g.ids(sup)...)
	}
	auto, _ := g.specs[sup]["auto_shutdown"].(string)
	path := sup + "/" + id
	depth := 1
	old, known := g.specs[path]
	if known {
		depth = maxDepth // it may be refused, and is nothing but a worker
	}
	child := g.child(path, id, depth, auto, false)
	if known {
		g.specs[path] = old
	}
	if g.one(15) {
		g.spoil(child)
	}
	o["child"] = child
}

// check makes up a validation.
func (g *generator) check() object {
	auto := pick(g, "never", "any_significant", "all_significant")
	var children []any
	for range g.IntN(4) {
		c := object{"id": pick(g, "a", "b", "c", "d", "e", "f")}
		g.asChild(c, auto)
		if g.one(3) {
			g.spoil(c)
		}
		children = append(children, c)
	}
	o := object{"op": "check_childspecs", "children": append([]any{}, children...)}
	if g.one(2) {
		o["auto_shutdown"] = pick(g, auto, auto, "sometimes")
	}
	return o
}

// change makes up a change of spec.
func (g *generator) change() object {
	sup := pick(g, g.state.sups...)
	old := g.specs[sup]
	if old == nil || old["type"] != "supervisor" {
		return object{"op": "count_children", "sup": sup}
	}
	spec := maps.Clone(old)
	was, _ := old["children"].([]any)
	children := slices.Clone(was)
	simple := old["strategy"] == "simple_one_for_one"
	if simple && len(children) > 0 && children[0].(object)["restart"] == "temporary" { // OTP keeps no arguments of its instances
		return object{"op": "count_children", "sup": sup}
	}
	if !simple {
		spec["strategy"] = pick(g, "one_for_one", "one_for_all", "rest_for_one")
		spec["auto_shutdown"] = pick(g, "never", "any_significant", "all_significant")
	}
	spec["intensity"] = pick(g, 0, 1, 2, 5)
	g.Shuffle(len(children), func(i, j int) { children[i], children[j] = children[j], children[i] })
	for i, c := range children {
		if o := c.(object); o["type"] != "supervisor" && g.one(2) && !simple {
			changed := maps.Clone(o)
			delete(changed, "significant")
			g.asChild(changed, spec["auto_shutdown"].(string))
			children[i] = changed
		}
	}
	if len(children) > 0 && g.one(2) {
		children = children[1:]
	}
	if g.one(2) {
		g.names++
		children = append(children, object{"id": fmt.Sprintf("n%d", g.names), "restart": pick(g, "permanent", "temporary", "transient")})
	}
	spec["children"] = children
	if g.one(6) {
		spec["intensity"] = -1
	}
	return object{"op": "change_spec", "sup": sup, "spec": spec}
}
