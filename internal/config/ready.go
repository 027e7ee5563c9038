package config

import (
	"cmp"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// maxFD is the highest descriptor that a child may be given: the soft limit
// of most systems is 1024.
const maxFD = 1023

// ready reads how a worker shows that it is up.
func (l *loader) ready(e entry) *child.Ready {
	r := &child.Ready{}
	t, ok := l.table(e, `{ tcp = "127.0.0.1:7001" }`)
	if !ok {
		return r
	}
	l.known(t, "ready", readyKeys)
	var kinds []entry
	for _, k := range t.entries {
		switch {
		case slices.Contains(readyKinds, k.name):
			kinds = append(kinds, k)
			l.readyKind(k, r)
		case k.name == "interval":
			r.Interval = l.positive(k)
		case k.name == "timeout":
			r.Timeout = l.positive(k)
		}
	}
	switch len(kinds) {
	case 0:
		l.wrong(e, "ready has none of %s", strings.Join(readyKinds, ", "))
		return r
	case 1:
	default:
		for _, k := range kinds[1:] {
			l.wrong(k.key, "ready takes one kind of proof, and has %s at %s already", kinds[0].name, kinds[0].key.place())
		}
	}
	if kind := kinds[0].name; kind != "tcp" && kind != "http" && kind != "exec" {
		for _, key := range []string{"interval", "timeout"} {
			if k, ok := t.get(key); ok {
				l.warn(k.key, "%s says nothing here: supervise waits for %s and asks nothing", key, kind)
			}
		}
	}
	return r
}

// readyKind reads one kind of proof.
func (l *loader) readyKind(e entry, r *child.Ready) {
	switch e.name {
	case "tcp":
		r.TCP = l.hostPort(e)
	case "http":
		r.HTTP = l.url(e)
	case "exec":
		r.Exec = l.argv(e)
	case "log":
		if s, ok := l.text(e); ok {
			if _, err := regexp.Compile(s); err != nil {
				l.wrong(e, "log is no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			}
			r.Log = s
		}
	case "fd":
		n, _ := l.integer(e, 3, maxFD)
		r.FD = int(n)
	case "notify":
		r.Notify = l.set(e)
	case "channel":
		r.Channel = l.set(e)
	}
}

// set reads a flag that is either true or left out.
func (l *loader) set(e entry) bool {
	b, ok := l.flag(e)
	if ok && !b {
		l.wrong(e, "%s = false says nothing: leave it out", e.name)
	}
	return b
}

// positive reads a duration that is more than nothing.
func (l *loader) positive(e entry) time.Duration {
	d, ok := l.duration(e, nil)
	if ok && d == 0 {
		l.wrong(e, "%s %q is no time at all", e.name, e.data)
	}
	return d
}

// hostPort reads an address for TCP.
func (l *loader) hostPort(e entry) string {
	s, ok := l.text(e)
	if !ok {
		return ""
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		l.wrong(e, `tcp %q is not host:port, like "127.0.0.1:7001"`, s)
		return ""
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		l.wrong(e, "tcp %q: the port is a number from 1 to 65535", s)
	}
	return s
}

// url reads an address for HTTP.
func (l *loader) url(e entry) string {
	s, ok := l.text(e)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "https" {
		l.wrong(e, `http %q: a probe speaks plain HTTP; over TLS let a program ask: exec = ["curl", "-fsk", %q]`, s, s)
		return ""
	}
	if err != nil || u.Host == "" || u.Scheme != "http" {
		l.wrong(e, `http %q is no URL, like "http://127.0.0.1:8080/healthz"`, s)
	}
	return s
}

// watchdog reads how often a worker has to say that it lives, and what it is
// sent the first time that it does not.
func (l *loader) watchdog(e entry) (every time.Duration, signal string) {
	t, isTable := e.data.(*table)
	if !isTable {
		return l.positive(e), ""
	}
	l.known(t, "watchdog", watchdogKeys)
	if k, ok := t.get("every"); ok {
		every = l.positive(k)
	} else {
		l.wrong(e, "watchdog lacks every, the time within which the worker has to say that it lives")
	}
	if k, ok := t.get("signal"); ok {
		signal, _ = l.signal(k)
	}
	return every, signal
}

// backoff reads a policy. What is left out has its default.
func (l *loader) backoff(e entry) backoff.Policy {
	p := backoff.Default()
	t, ok := l.table(e, `{ kind = "constant", min = "1s" }`)
	if !ok {
		return p
	}
	l.known(t, "backoff", backoffKeys)
	if k, ok := t.get("kind"); ok {
		p.Kind = pick(l, k, backoffKinds)
	}
	l.uselessBackoff(t, p.Kind)
	lowest, hasMin := t.get("min")
	if hasMin {
		p.Min = cmp.Or(l.positive(lowest), p.Min)
	}
	highest, hasMax := t.get("max")
	if hasMax {
		p.Max = l.positive(highest)
		hasMax = p.Max != 0
	}
	if k, ok := t.get("multiplier"); ok {
		p.Multiplier, _ = l.number(k, 1, 1000)
	}
	if k, ok := t.get("jitter"); ok {
		p.Jitter, _ = l.number(k, 0, 1)
	}
	if k, ok := t.get("reset_after"); ok {
		p.ResetAfter, _ = l.duration(k, map[string]time.Duration{infinity: 0})
	}
	switch {
	case p.Min <= p.Max:
	case hasMax:
		l.wrong(highest, "max %v is less than min, which is %v", p.Max, p.Min)
	default:
		p.Max = p.Min
	}
	if p.Kind == backoff.None {
		return backoff.Policy{}
	}
	return p
}

// uselessBackoff warns of keys that the kind does not look at.
func (l *loader) uselessBackoff(t *table, kind backoff.Kind) {
	for _, e := range t.entries {
		useless := kind == backoff.None && e.name != "kind" ||
			e.name == "multiplier" && kind != backoff.Exponential ||
			e.name == "max" && kind == backoff.Constant
		if useless && slices.Contains(backoffKeys, e.name) {
			l.warn(e.key, "%s says nothing to a backoff of kind %s", e.name, kind)
		}
	}
}

// useless warns of keys of a worker that cannot matter beside others.
func (l *loader) useless(t *table, spec *tree.ChildSpec, p *child.Process) {
	if e, ok := t.get("start_timeout"); ok && spec.Start == tree.AtExec {
		l.warn(e.key, "start_timeout says nothing to a worker that has neither ready nor channel: it is up when it has been started")
	}
	if e, ok := t.get("slow_handler"); ok && p.Channel == "" {
		l.warn(e.key, "slow_handler says nothing to a worker without a channel")
	}
	if e, ok := t.get("stop_signal"); ok && spec.Shutdown.Mode == tree.BrutalKill {
		l.warn(e.key, `stop_signal says nothing beside shutdown = "brutal_kill"`)
	}
	if e, ok := t.get("backoff"); ok && spec.Restart == tree.Temporary {
		l.warn(e.key, "backoff says nothing to a temporary child: it is never restarted")
	}
}
