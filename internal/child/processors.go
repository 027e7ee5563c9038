package child

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// How many processors (GOMAXPROCS) a process of this binary runs on. Each one
// takes 150 to 300 KiB, for every size of allocation and for threads of its
// own. They are told before the process begins, because a runtime that is told
// later takes 200 KiB for the change.
const (
	// busyProcessors is one for the goroutine that owns the node's state, which
	// keeps its processor while deaths come one after the other, and one for what
	// moves bytes beside it: for the root, which answers people, and for every
	// supervisor through which calls pass.
	busyProcessors = 2
	// nodeProcessors is for every other supervisor, of which there may be
	// thousands, and for the sentinel. A lone restart is no slower with one.
	nodeProcessors = 1
)

// The variables by which they are told.
const (
	envProcessors = "GOMAXPROCS"
	// envWorkers is the value of envProcessors that the tree was started with,
	// "" for none: its workers get that one.
	envWorkers = "SUPERVISE_GOMAXPROCS"
)

// withProcessors makes a process of this binary begin with so many processors.
func withProcessors(count int, started string) []string {
	return []string{envProcessors + "=" + strconv.Itoa(count), envWorkers + "=" + started}
}

// startedWith is what envProcessors was when the tree was started.
func startedWith() string {
	if value, told := os.LookupEnv(envWorkers); told {
		return value
	}
	return os.Getenv(envProcessors)
}

// forWorkers undoes withProcessors in an environment.
func forWorkers(env []string) []string {
	i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, envWorkers+"=") })
	if i < 0 {
		return env
	}
	started := env[i][len(envWorkers)+1:]
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, envWorkers+"=") || strings.HasPrefix(kv, envProcessors+"=")
	})
	if started == "" {
		return env
	}
	return append(env, envProcessors+"="+started)
}
