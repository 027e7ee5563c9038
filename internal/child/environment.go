package child

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"slices"
	"strings"
)

// The variables that mark a process as part of a tree. They are how a
// descendant is known that left its group and its session.
const (
	envPath        = "SUPERVISE_PATH"
	envIncarnation = "SUPERVISE_INCARNATION"
	envTree        = "SUPERVISE_TREE"
	// envNode is set in the environment of nodes alone.
	envNode = "SUPERVISE_NODE"
)

// notInherited are variables that speak to this process alone: a child that
// found them would answer systemd, or another supervisor, in our name.
var notInherited = [...]string{
	envPath, envIncarnation, envTree, envNode, "SUPERVISE_SOCKET", "SUPERVISE_CHANNEL",
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
}

// thisTree names this run of the tree. A node was given the name by what
// started it. In a tree that runs under another one the name begins with the
// name and the path of its place there, so that the outer one knows the
// processes of the inner as its own.
func thisTree() string {
	if os.Getenv(envNode) != "" && os.Getenv(envTree) != "" {
		return os.Getenv(envTree)
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	id := hex.EncodeToString(b[:])
	outer, path := os.Getenv(envTree), os.Getenv(envPath)
	if outer == "" || path == "" {
		return id
	}
	return outer + path + ";" + id
}

// environment is what children inherit, ready to be overlaid.
type environment struct {
	base  []string
	index map[string]int // name → place in base
	// scratch is the last child's environment, used again for the next.
	scratch []string
}

func newEnvironment(inherited []string) environment {
	inherited = forWorkers(inherited)
	env := environment{index: make(map[string]int, len(inherited))}
next:
	for _, kv := range inherited {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		for _, not := range notInherited {
			if name == not {
				continue next
			}
		}
		if _, twice := env.index[name]; twice {
			continue
		}
		env.index[name] = len(env.base)
		env.base = append(env.base, kv)
	}
	return env
}

// overlay is an environment with more variables over it.
func overlay(env, more []string) []string {
	over := slices.Clone(env)
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		over = slices.DeleteFunc(over, func(had string) bool { return strings.HasPrefix(had, name+"=") })
	}
	return append(over, more...)
}

// reset begins the next child's environment.
func (env *environment) reset() { env.scratch = append(env.scratch[:0], env.base...) }

// set gives a variable its value, over what is there.
func (env *environment) set(kv string) {
	name, _, ok := strings.Cut(kv, "=")
	if !ok || name == "" {
		return
	}
	if i, inherited := env.index[name]; inherited {
		env.scratch[i] = kv
		return
	}
	for i := len(env.base); i < len(env.scratch); i++ {
		if len(env.scratch[i]) > len(name) && env.scratch[i][len(name)] == '=' && env.scratch[i][:len(name)] == name {
			env.scratch[i] = kv
			return
		}
	}
	env.scratch = append(env.scratch, kv)
}

// get is the value of a variable of the child's environment.
func (env *environment) get(name string) string {
	if i, inherited := env.index[name]; inherited {
		return env.scratch[i][len(name)+1:]
	}
	for _, kv := range env.scratch[len(env.base):] {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// IsNode says whether this process was made by an engine to be a supervisor.
func IsNode() bool { return os.Getenv(envNode) != "" }
