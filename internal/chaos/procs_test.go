package chaos

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process is one process of a tree, found in /proc by the mark in its environment.
type process struct {
	pid, parent int
	state       byte
	start       string // in clock ticks since boot: with the pid, an identity
	path        string // SUPERVISE_PATH; "" for the sentinel
	incarnation uint64
	command     string
}

func (p process) String() string {
	return fmt.Sprintf("pid %d (%s#%d %q, parent %d, state %c)", p.pid, p.path, p.incarnation, p.command, p.parent, p.state)
}

// marked lists the processes that carry a mark in their environment. A zombie
// has none any more: zombies finds those.
func marked(mark string) (found []process) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue
		}
		if p, ok := look(pid); ok {
			if p.path = variable(env, "SUPERVISE_PATH"); p.path == "" && variable(env, "SUPERVISE_NODE") != "" {
				p.path = "/" // which no supervisor has started
			}
			p.incarnation, _ = strconv.ParseUint(variable(env, "SUPERVISE_INCARNATION"), 10, 64)
			found = append(found, p)
		}
	}
	return found
}

// look reads what /proc/PID/stat says.
func look(pid int) (process, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if open < 0 || len(fields) < 20 {
		return process{}, false
	}
	parent, _ := strconv.Atoi(fields[1])
	return process{pid: pid, parent: parent, state: fields[0][0], start: fields[19], command: string(stat[open+1 : end])}, true
}

func variable(env []byte, name string) string {
	for _, kv := range bytes.Split(env, []byte{0}) {
		if v, ok := bytes.CutPrefix(kv, []byte(name+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// zombies lists the dead children of these processes that nobody has waited for.
func zombies(parents map[int]bool) (found []process) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := look(pid); ok && p.state == 'Z' && parents[p.parent] {
				found = append(found, p)
			}
		}
	}
	return found
}

// byPath sorts processes by the child that they belong to.
func byPath(all []process) map[string][]process {
	by := make(map[string][]process)
	for _, p := range all {
		if p.path != "" && p.path != "/" {
			by[p.path] = append(by[p.path], p)
		}
	}
	return by
}

// same says whether a process is still there, alive, and the same.
func same(p process) bool {
	now, ok := look(p.pid)
	return ok && now.start == p.start && now.state != 'Z' && now.state != 'X'
}
