package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/tree"
)

// defaultSlowHandler is how long a handler takes that a worker warns of.
const defaultSlowHandler = time.Second

// defaultStartTimeout is how long a worker with readiness has to get up.
const defaultStartTimeout = time.Minute

// worker reads a child with a command.
func (l *loader) worker(t *table, in scope, above *child.Subtree, names map[string]spot) {
	l.childKeys(t, inWorker, "command")
	v := append(view{t}, in.defaults...)
	spec := tree.ChildSpec{Kind: tree.KindWorker, ID: l.childName(t, names)}
	l.policy(v, t, above.Spec.AutoShutdown, in.alone, &spec)
	p := l.process(v, &spec)
	if e, ok := t.get("command"); ok {
		p.Command = l.argv(e)
		note(p, "command", e)
	}
	if e, ok := t.get("manage"); ok {
		p.Manage, _ = l.flag(e)
		if p.Manage && p.Channel == "" {
			l.wrong(e, `manage = true needs a channel: set channel to "frames" or "lines"`)
		}
	}
	l.useless(t, &spec, p)
	l.missing(v, p)
	above.Spec.Children = append(above.Spec.Children, spec)
	above.Workers[spec.ID] = p
}

// note keeps where a key stands, for messages about a failed start.
func note(p *child.Process, key string, e entry) {
	p.Places = append(p.Places, child.Place{Key: key, At: e.place().String()})
}

// process reads what may also stand in [defaults].
func (l *loader) process(v view, spec *tree.ChildSpec) *child.Process {
	p := &child.Process{}
	spec.Shutdown = tree.Stop{Mode: tree.StopTime, Time: defaultShutdown}
	if e, ok := v.get("shutdown"); ok {
		spec.Shutdown = l.shutdown(e)
	}
	if e, ok := v.get("stop_signal"); ok {
		p.StopSignal = l.stopSignal(e)
	}
	if e, ok := v.get("success_exit"); ok {
		p.SuccessExit = l.statuses(e)
	}
	l.surroundings(v, p)
	l.identity(v, p)
	l.channel(v, p)
	if e, ok := v.get("ready"); ok {
		p.Ready = l.ready(e)
		note(p, "ready", e)
		if p.Ready.Channel && p.Channel == "" {
			l.wrong(e, `ready = { channel = true } needs a channel: set channel to "frames" or "lines"`)
		}
	}
	if e, ok := v.get("watchdog"); ok {
		p.Watchdog, p.WatchSignal = l.watchdog(e)
	}
	l.start(v, spec, p)
	return p
}

// channel reads what is about calls and casts.
func (l *loader) channel(v view, p *child.Process) {
	slow := defaultSlowHandler
	if e, ok := v.get("slow_handler"); ok {
		d, ok := l.duration(e, map[string]time.Duration{infinity: -1})
		if ok && d == 0 {
			l.wrong(e, `slow_handler %q would warn of every handler: "infinity" is of none`, e.data)
		}
		slow = max(d, 0)
	}
	if e, ok := v.get("channel"); ok {
		p.Channel = pick(l, e, channels)
	}
	if p.Channel != "" {
		p.SlowHandler = slow
	}
}

// start works out when the worker counts as started (SEMANTICS 19.3).
func (l *loader) start(v view, spec *tree.ChildSpec, p *child.Process) {
	switch {
	case p.Ready != nil && !p.Ready.Channel:
		spec.Start = tree.Probed
	case p.Channel != "":
		spec.Start = tree.Acknowledged
	}
	timeout := defaultStartTimeout
	if e, ok := v.get("start_timeout"); ok {
		d, ok := l.duration(e, map[string]time.Duration{infinity: -1})
		if ok && d == 0 {
			l.wrong(e, `start_timeout %q leaves no time: "infinity" is without limit`, e.data)
		}
		timeout = max(d, 0)
	}
	if spec.Start != tree.AtExec {
		spec.StartTimeout = timeout
	}
}

// surroundings reads dir, env, env_file and umask.
func (l *loader) surroundings(v view, p *child.Process) {
	if e, ok := v.get("dir"); ok {
		p.Dir, _ = l.path(e)
		note(p, "dir", e)
	}
	p.Env = l.env(v)
	if e, ok := v.get("env_file"); ok {
		files, _ := l.elements(e)
		for _, f := range files {
			if path, ok := l.path(f); ok {
				p.EnvFile = append(p.EnvFile, path)
			}
		}
		note(p, "env_file", e)
	}
	if e, ok := v.get("umask"); ok {
		p.Umask = l.umask(e)
	}
}

// env reads variables. Those of the child's own table go over those of
// [defaults], one by one.
func (l *loader) env(v view) []string {
	vars := map[string]string{}
	for _, t := range slices.Backward(v) {
		e, ok := t.get("env")
		if !ok {
			continue
		}
		env, ok := l.table(e, `{ PORT = "8080" }`)
		if !ok {
			continue
		}
		for _, e := range env.entries {
			name := e.name
			switch {
			case name == "" || strings.ContainsAny(name, "=\x00"):
				l.wrong(e.key, "%q cannot be the name of an environment variable", name)
			case strings.HasPrefix(name, "SUPERVISE_"):
				l.wrong(e.key, "%s is set by supervise itself, as all that begins with SUPERVISE_", name)
			default:
				e.name = "env." + name
				vars[name], _ = l.anyText(e)
			}
		}
	}
	var list []string
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// umask reads octal digits. A TOML number cannot be one: it may not begin with 0.
func (l *loader) umask(e entry) *uint32 {
	s, ok := e.data.(string)
	if !ok {
		l.wrong(e, `umask is a string of octal digits, like "022", not %s`, describe(e.data))
		return nil
	}
	if digits := len(strings.TrimPrefix(s, "0")); s == "" || digits > 3 || strings.Trim(s, "01234567") != "" {
		l.wrong(e, `umask %q is not octal digits, like "022"`, s)
		return nil
	}
	n, _ := strconv.ParseUint(s, 8, 32) // the pattern lets nothing else through
	mask := uint32(n)
	return &mask
}

// identity reads user and group.
func (l *loader) identity(v view, p *child.Process) {
	if e, ok := v.get("group"); ok {
		if p.Group, ok = l.text(e); ok {
			if err := l.accounts.group(p.Group); err != nil {
				l.wrong(e, "group %q does not exist", p.Group)
			}
		}
		note(p, "group", e)
	}
	if e, ok := v.get("user"); ok {
		if p.User, ok = l.text(e); ok {
			if err := l.accounts.user(p.User); err != nil {
				l.wrong(e, "user %q does not exist", p.User)
			}
		}
		note(p, "user", e)
	}
}

// stopSignal reads the signal that asks a worker to end.
func (l *loader) stopSignal(e entry) string {
	name, _ := l.signal(e)
	switch name {
	case "KILL":
		l.wrong(e, `stop_signal KILL leaves no time to end: shutdown = "brutal_kill" kills at once`)
	case "STOP", "CONT", "CHLD":
		l.wrong(e, "stop_signal %s does not end a process", name)
	}
	return name
}

// statuses reads the exit statuses that count as success beside 0.
func (l *loader) statuses(e entry) []int {
	list, ok := e.data.([]value)
	if !ok {
		l.wrong(e, "success_exit is an array of exit statuses, like [3, 64], not %s", describe(e.data))
		return nil
	}
	var statuses []int
	for i, v := range list {
		n, ok := l.integer(entry{name: fmt.Sprintf("success_exit[%d]", i), key: e.key, value: v}, 0, 255)
		if ok {
			statuses = append(statuses, int(n))
		}
	}
	return statuses
}

// argv reads a command: an array as it is, a string for the shell.
func (l *loader) argv(e entry) []string {
	if _, ok := e.data.(string); ok {
		line, ok := l.text(e)
		if !ok {
			return nil
		}
		return []string{"/bin/sh", "-c", line}
	}
	list, ok := l.elements(e)
	if !ok {
		return nil
	}
	if len(list) == 0 {
		l.wrong(e, "%s is empty: its first element is the program", e.name)
	}
	var argv []string
	for i, arg := range list {
		read := l.anyText
		if i == 0 {
			read = l.text
		}
		s, _ := read(arg)
		if i == 0 && isPath(s) {
			s = e.src.resolve(s)
		}
		argv = append(argv, s)
	}
	return argv
}

// missing warns of files that are not there now: a start would fail, unless
// they come until then.
func (l *loader) missing(v view, p *child.Process) {
	if e, ok := v.get("command"); ok && len(p.Command) > 0 && isPath(p.Command[0]) {
		l.executable(e, p.Command[0])
	}
	if e, ok := v.get("dir"); ok && p.Dir != "" {
		info, err := os.Stat(p.Dir)
		switch {
		case err != nil:
			l.warn(e, "dir %s: %v", p.Dir, cause(err))
		case !info.IsDir():
			l.warn(e, "dir %s: not a directory", p.Dir)
		}
	}
	if e, ok := v.get("env_file"); ok {
		for _, path := range p.EnvFile {
			if _, err := os.Stat(path); err != nil {
				l.warn(e, "env_file %s: %v", path, cause(err))
			}
		}
	}
}

// executable warns of a program that could not be started.
func (l *loader) executable(e entry, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.warn(e, "command %s: %v", path, cause(err))
	case info.IsDir():
		l.warn(e, "command %s: is a directory", path)
	case info.Mode()&0o111 == 0:
		l.warn(e, "command %s: %v: it is not executable", path, fs.ErrPermission)
	}
}
