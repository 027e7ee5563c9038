package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// defaultShutdown is how long a worker has to end after its stop signal
// (SEMANTICS 19.1).
const defaultShutdown = 10 * time.Second

// child reads one [[child]] into its supervisor. names are those of the
// siblings before it.
func (l *loader) child(t *table, in scope, above *child.Subtree, names map[string]spot) {
	if _, isWorker := t.get("command"); isWorker {
		l.worker(t, in, above, names)
		return
	}
	for _, key := range []string{"strategy", "child", "tree", "intensity", "period", "auto_shutdown"} {
		if _, ok := t.get(key); ok {
			l.nested(t, key, in, above, names)
			return
		}
	}
	l.wrong(t, "this child has neither command, as a worker has, nor strategy, tree or [[child.child]], as a supervisor has")
	l.worker(t, in, above, names) // what else it has may be wrong too
}

// nested reads a child that is a supervisor, because of one of its keys.
func (l *loader) nested(t *table, because string, in scope, above *child.Subtree, names map[string]spot) {
	l.childKeys(t, inSupervisor, because)
	flags := view{t}
	inner := in
	inner.depth, inner.alone = in.depth+1, false
	lost := false // the file with the children
	if e, ok := t.get("tree"); ok {
		if c, both := t.get("child"); both {
			l.wrong(c.key, "[[child.child]] and tree exclude each other: the children are those of the file")
		}
		root, file := l.include(e, in)
		if lost = root == nil; !lost {
			flags = append(flags, root)
			inner.files = append(slices.Clone(in.files), file)
			inner.defaults = l.defaults(root, in.defaults)
		}
	}
	name := l.nestedName(t, flags, names)
	inner.path = below(in.path, name)
	spec := tree.ChildSpec{ID: name, Kind: tree.KindSupervisor, Start: tree.Acknowledged}
	spec.Shutdown.Mode = tree.Infinity
	l.policy(append(view{t}, in.defaults...), t, above.Spec.AutoShutdown, in.alone, &spec)
	if e, ok := t.get("shutdown"); ok {
		spec.Shutdown = l.shutdown(e)
	}
	above.Spec.Children = append(above.Spec.Children, spec)
	if lost {
		return
	}
	if inner.depth > MaxDepth {
		l.wrong(t, "this supervisor is on level %d of the tree, and %d is the deepest", inner.depth, MaxDepth)
		return
	}
	sub := l.supervisor(flags, inner)
	above.Supervisors[name] = sub
	l.traps(append(view{t}, in.defaults...), t, &spec, sub)
}

// nestedName reads a supervisor's name, which may also be that of its file:
// the one the file gives itself, or else its base name.
func (l *loader) nestedName(t *table, flags view, names map[string]spot) string {
	file, included := t.get("tree")
	if _, own := t.get("name"); own || !included {
		return l.childName(t, names)
	}
	name := ""
	if e, ok := flags.get("name"); ok {
		name, _ = l.name(e)
	} else if path, ok := file.data.(string); ok {
		name = rootName(path)
	}
	l.unique(name, file.spot, names)
	return name
}

// childName reads a child's name.
func (l *loader) childName(t *table, names map[string]spot) string {
	e, ok := t.get("name")
	if !ok {
		l.wrong(t, "this child has no name")
		return ""
	}
	name, _ := l.name(e)
	l.unique(name, e.spot, names)
	return name
}

// unique holds siblings to different names.
func (l *loader) unique(name string, at spot, names map[string]spot) {
	if name == "" {
		return
	}
	if first, taken := names[name]; taken {
		l.wrong(at, "two siblings are named %q: the first is at %s", name, first.place())
		return
	}
	names[name] = at
}

// policy reads what workers and supervisors have in common. v holds the
// defaults, own only what stands in the child's table itself.
func (l *loader) policy(v view, own *table, auto tree.AutoShutdown, alone bool, spec *tree.ChildSpec) {
	spec.Backoff = backoff.Default()
	if e, ok := v.get("restart"); ok {
		spec.Restart = pick(l, e, restarts)
	}
	if e, ok := v.get("backoff"); ok {
		spec.Backoff = l.backoff(e)
	}
	e, ok := own.get("significant")
	if !ok {
		return
	}
	if spec.Significant, ok = l.flag(e); !ok || !spec.Significant {
		return
	}
	if auto == tree.Never && !alone {
		l.wrong(e, "significant means something only to a supervisor with auto_shutdown: set it to any_significant or all_significant there")
	}
	if spec.Restart == tree.Permanent {
		l.wrong(e, "a permanent child is always restarted and cannot be significant: set restart to transient, temporary or once")
	}
}

// shutdown reads how a child is stopped.
func (l *loader) shutdown(e entry) tree.Stop {
	switch e.data {
	case "brutal_kill":
		return tree.Stop{Mode: tree.BrutalKill}
	case infinity:
		return tree.Stop{Mode: tree.Infinity}
	}
	d, ok := l.duration(e, map[string]time.Duration{"brutal_kill": 0, infinity: 0})
	if ok && d == 0 {
		l.warn(e, `shutdown %q kills at once and reports it as an error: "brutal_kill" says what is meant`, e.data)
	}
	return tree.Stop{Mode: tree.StopTime, Time: d}
}

// traps warns of what OTP allows and hardly anybody wants.
func (l *loader) traps(v view, own *table, spec *tree.ChildSpec, sub *child.Subtree) {
	if spec.Restart == tree.Transient && !spec.Significant {
		e, _ := v.get("restart")
		l.warn(e, "%s is a transient supervisor: one that gives up ends with shutdown, which is not abnormal, so it is not restarted and its children are gone: permanent is usually meant", sub.Path)
	}
	if e, ok := own.get("shutdown"); ok && spec.Shutdown.Mode != tree.Infinity {
		l.warn(e, "%s is a supervisor: one that is killed cannot stop its children in order: infinity is usually meant", sub.Path)
	}
	if spec.Significant && sub.Spec.AutoShutdown == tree.Never && sub.Spec.Intensity == tree.Unlimited {
		e, _ := own.get("significant")
		l.warn(e, "%s is significant but never ends by itself: it has neither auto_shutdown nor an intensity that could be exceeded", sub.Path)
	}
}

// defaults reads a file's [defaults], in front of those of the files that include it.
func (l *loader) defaults(root *table, outer view) view {
	e, ok := root.get("defaults")
	if !ok {
		return outer
	}
	t, ok := l.table(e, "[defaults]")
	if !ok {
		return outer
	}
	l.keys(t, inDefaults)
	// Read once for the sake of its errors: no child may need it.
	var unused tree.ChildSpec
	l.policy(view{t}, t, tree.Never, true, &unused)
	l.process(view{t}, &unused)
	return append(view{t}, outer...)
}

// isPath says whether a command names a file, and is not looked up in PATH.
func isPath(command string) bool { return strings.ContainsRune(command, filepath.Separator) }
