package config

import (
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// OTP's own limit, for children that no backoff paces (SEMANTICS CFG-1).
const (
	otpIntensity = 1
	otpPeriod    = 5
)

// supervisor reads a supervisor's flags and children. v is the table that
// says so, or the one that names a file and then the file's root.
func (l *loader) supervisor(v view, in scope) *child.Subtree {
	s := &child.Subtree{
		Path:        in.path,
		Containment: in.containment,
		Workers:     map[string]*child.Process{},
		Supervisors: map[string]*child.Subtree{},
	}
	if e, ok := v.get("strategy"); ok {
		s.Spec.Strategy = pick(l, e, strategies)
	}
	if e, ok := v.get("auto_shutdown"); ok {
		s.Spec.AutoShutdown = pick(l, e, autoShutdowns)
	}
	l.children(v, in, s)
	l.limit(v, &s.Spec)
	l.simple(v, &s.Spec)
	l.autoShutdown(v, &s.Spec)
	return s
}

// children reads the [[child]] tables.
func (l *loader) children(v view, in scope, s *child.Subtree) {
	e, ok := v.get("child")
	if !ok {
		if s.Spec.Strategy != tree.SimpleOneForOne {
			l.warn(v[0], "%s has no [[child]]: there is nothing to start", s.Path)
		}
		return
	}
	list, ok := e.data.([]value)
	if !ok {
		l.wrong(e, "child is an array of tables: write [[child]] above each child, not [child]")
		return
	}
	names := map[string]spot{}
	s.Spec.Children = make([]tree.ChildSpec, 0, min(len(list), MaxChildren)) // to grow leaves a quarter of it unused
	for _, v := range list {
		t, ok := v.data.(*table)
		if !ok {
			l.wrong(v, "child is an array of tables, and this is %s", describe(v.data))
			continue
		}
		if l.count++; l.count > MaxChildren {
			l.wrong(t, "the tree has more than %d children", MaxChildren)
			return
		}
		l.child(t, in, s, names)
	}
}

// limit reads intensity and period, and works out what holds where they are left out.
func (l *loader) limit(v view, spec *tree.Spec) {
	spec.Intensity, spec.Period = tree.Unlimited, otpPeriod
	intensity, limited := v.get("intensity")
	period, paced := v.get("period")
	switch {
	case limited:
		spec.Intensity = l.intensity(intensity)
	case paced:
		l.wrong(period.key, "period says nothing without intensity, the number of restarts that it allows")
	case unpaced(spec.Children):
		spec.Intensity = otpIntensity
	}
	if paced {
		spec.Period = l.period(period)
		if limited && spec.Intensity == tree.Unlimited && intensity.data == infinity {
			l.warn(period.key, "period says nothing beside intensity = %q", infinity)
		}
	}
	if limited && spec.Intensity != tree.Unlimited {
		l.reachable(intensity, spec)
	}
}

// unpaced says whether some child is restarted without a delay.
func unpaced(children []tree.ChildSpec) bool {
	for _, c := range children {
		if c.Backoff.Kind == backoff.None {
			return true
		}
	}
	return false
}

// infinity is the word for what has no end.
const infinity = "infinity"

// intensity reads a number of restarts. What is none counts as Unlimited.
func (l *loader) intensity(e entry) tree.Intensity {
	switch data := e.data.(type) {
	case string:
		if data != infinity {
			l.wrong(e, `intensity %q is neither a number of restarts nor "infinity"%s`, data, didYouMean(data, []string{infinity}))
		}
	case int64:
		if data >= 0 {
			return tree.Intensity(data)
		}
		l.wrong(e, `intensity %d is negative: 0 allows no restart, and "infinity" any number`, data)
	default:
		l.wrong(e, `intensity is a number of restarts or "infinity", not %s`, describe(e.data))
	}
	return tree.Unlimited
}

// period reads whole seconds: OTP's window knows no others (SEMANTICS IN-2).
func (l *loader) period(e entry) int64 {
	d, ok := l.duration(e, nil)
	if !ok {
		return otpPeriod
	}
	if d < time.Second || d%time.Second != 0 {
		l.wrong(e, "period %q is not whole seconds, at least one", e.data)
		return otpPeriod
	}
	return int64(d / time.Second)
}

// simple holds a simple_one_for_one supervisor to its one template.
func (l *loader) simple(v view, spec *tree.Spec) {
	if spec.Strategy != tree.SimpleOneForOne {
		return
	}
	strategy, _ := v.get("strategy")
	n := 0
	if e, ok := v.get("child"); ok {
		list, _ := e.data.([]value)
		n = len(list)
	}
	if n != 1 {
		l.wrong(strategy, "simple_one_for_one takes exactly one [[child]], the template of its instances, and here are %d", n)
	}
	if e, ok := v.get("auto_shutdown"); ok && spec.AutoShutdown != tree.Never {
		l.wrong(e, "auto_shutdown and simple_one_for_one exclude each other: instances come and go")
	}
}

// autoShutdown holds significant children and auto_shutdown together.
func (l *loader) autoShutdown(v view, spec *tree.Spec) {
	if spec.AutoShutdown == tree.Never || spec.Strategy == tree.SimpleOneForOne {
		return
	}
	for _, c := range spec.Children {
		if c.Significant {
			return
		}
	}
	e, _ := v.get("auto_shutdown")
	l.warn(e, "auto_shutdown waits for a significant child to end, and no child here is significant")
}
