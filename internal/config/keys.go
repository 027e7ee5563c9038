package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// home says in which tables a key may stand.
type home uint8

const (
	inRoot       home = 1 << iota // the root of the file that supervise is given
	inFile                        // the root of a file that a child's tree names
	inWorker                      // a [[child]] with a command
	inSupervisor                  // a [[child]] with children
	inDefaults
	inChild = inWorker | inSupervisor
)

// homes are all keys of all tables but the small ones below. The manual has a
// section on each: a test compares.
//
//nolint:gochecknoglobals // a table that nobody changes
var homes = map[string]home{
	"name":          inRoot | inFile | inChild,
	"strategy":      inRoot | inFile | inSupervisor,
	"intensity":     inRoot | inFile | inSupervisor,
	"period":        inRoot | inFile | inSupervisor,
	"auto_shutdown": inRoot | inFile | inSupervisor,
	"child":         inRoot | inFile | inSupervisor,
	"defaults":      inRoot | inFile,
	"containment":   inRoot,
	"control":       inRoot,
	"tree":          inSupervisor,
	"significant":   inChild,
	"restart":       inChild | inDefaults,
	"shutdown":      inChild | inDefaults,
	"backoff":       inChild | inDefaults,
	"command":       inWorker,
	"stop_signal":   inWorker | inDefaults,
	"ready":         inWorker | inDefaults,
	"start_timeout": inWorker | inDefaults,
	"channel":       inWorker | inDefaults,
	"slow_handler":  inWorker | inDefaults,
	"manage":        inWorker,
	"dir":           inWorker | inDefaults,
	"env":           inWorker | inDefaults,
	"env_file":      inWorker | inDefaults,
	"user":          inWorker | inDefaults,
	"group":         inWorker | inDefaults,
	"umask":         inWorker | inDefaults,
	"success_exit":  inWorker | inDefaults,
	"watchdog":      inWorker | inDefaults,
}

// The keys of the small tables.
//
//nolint:gochecknoglobals // tables that nobody changes
var (
	controlKeys  = []string{"socket"}
	backoffKeys  = []string{"kind", "min", "max", "multiplier", "jitter", "reset_after"}
	readyKinds   = []string{"tcp", "http", "exec", "log", "fd", "notify", "channel"}
	readyKeys    = append(slices.Clone(readyKinds), "interval", "timeout")
	watchdogKeys = []string{"every", "signal"}
)

// foreign are words of other process managers, with ours.
//
//nolint:gochecknoglobals // a table that nobody changes
var foreign = map[string]string{
	"cmd": "command", "exec": "command", "exec_start": "command", "execstart": "command", "run": "command", "args": "command",
	"cwd": "dir", "workdir": "dir", "working_dir": "dir", "working_directory": "dir", "workingdirectory": "dir", "directory": "dir",
	"environment": "env", "environment_file": "env_file", "environmentfile": "env_file",
	"max_restarts": "intensity", "startretries": "intensity", "start_limit_burst": "intensity", "within": "period", "max_seconds": "period",
	"stop_timeout": "shutdown", "stopwaitsecs": "shutdown", "timeout_stop_sec": "shutdown", "kill_signal": "stop_signal", "stopsignal": "stop_signal",
	"autorestart": "restart", "restart_policy": "restart", "restart_sec": "backoff", "startsecs": "start_timeout", "timeout_start_sec": "start_timeout",
	"exitcodes": "success_exit", "success_exit_status": "success_exit", "success_exit_codes": "success_exit", "watchdog_sec": "watchdog",
	"children": "child", "worker": "child", "program": "child", "service": "child", "include": "tree", "file": "tree", "critical": "significant",
}

// keys checks that a table has no key that does not belong there.
func (l *loader) keys(t *table, here home) {
	for _, e := range t.entries {
		if l.full() {
			return
		}
		at, known := homes[e.name]
		switch {
		case known && at&here != 0:
		case known:
			l.wrong(e.key, "%s does not belong here: it is a key of %s", e.name, at)
		default:
			l.wrong(e.key, "unknown key %q%s", e.name, suggest(e.name, here))
		}
	}
}

// childKeys checks the keys of a child that is a worker or a supervisor
// because of one of them. Keys of the other kind get a message of their own:
// the table says two things at once.
func (l *loader) childKeys(t *table, here home, because string) {
	reason, _ := t.get(because)
	rest := &table{spot: t.spot}
	for _, e := range t.entries {
		if kind := homes[e.name] & inChild; kind != 0 && kind&here == 0 {
			l.wrong(e.key, "%s is a key of %s, and %s at %s makes this child %s: a child is one of them",
				bracketed(e.name), article(kind), bracketed(because), reason.key.place(), article(here))
			continue
		}
		rest.entries = append(rest.entries, e)
	}
	l.keys(rest, here)
}

// bracketed writes a key as one sees it in a file.
func bracketed(key string) string {
	if key == "child" {
		return "[[child.child]]"
	}
	return key
}

// article names the kind of a child.
func article(kind home) string {
	if kind == inWorker {
		return "a worker"
	}
	return "a supervisor"
}

// suggest ends a message about an unknown key: with a key that fits here, or
// with what another program's word is called.
func suggest(name string, here home) string {
	folded := fold(name)
	if ours, ok := foreign[folded]; ok {
		return fmt.Sprintf(": did you mean %q?", ours)
	}
	if folded == "depends_on" || folded == "after" || folded == "requires" || folded == "wants" {
		return ": children start in the order of the file, each when the one before is up"
	}
	var fitting []string
	for _, key := range slices.Sorted(maps.Keys(homes)) {
		if homes[key]&here != 0 {
			fitting = append(fitting, key)
		}
	}
	return didYouMean(name, fitting)
}

// String names the tables, for "it is a key of …".
func (h home) String() string {
	var names []string
	switch h & (inRoot | inFile) {
	case inRoot:
		names = append(names, "the root of the whole tree")
	case inRoot | inFile:
		names = append(names, "a file's root")
	}
	switch h & inChild {
	case inWorker:
		names = append(names, "a worker's [[child]]")
	case inSupervisor:
		names = append(names, "a supervisor's [[child]]")
	case inChild:
		names = append(names, "a [[child]]")
	}
	if h&inDefaults != 0 {
		names = append(names, "[defaults]")
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// known checks the keys of a small table.
func (l *loader) known(t *table, name string, keys []string) {
	for _, e := range t.entries {
		if l.full() {
			return
		}
		if !slices.Contains(keys, e.name) {
			l.wrong(e.key, "unknown key %q in %s, which takes %s%s", e.name, name, strings.Join(keys, ", "), didYouMean(e.name, keys))
		}
	}
}
