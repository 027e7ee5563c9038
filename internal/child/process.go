// Package child starts, signals, contains and reaps OS processes.
package child

import (
	"time"

	"github.com/supertrees/supervise/tree"
)

// Process says how one worker is started and stopped: what the core does not
// know. Config fills it in; it crosses the node's pipe as JSON.
type Process struct {
	// Command is the argv; Command[0] without a slash is looked up in PATH at
	// every start. A string in TOML is {"/bin/sh", "-c", string}.
	Command []string `json:"command"`
	Dir     string   `json:"dir,omitempty"`      // absolute; "": supervise's own
	Env     []string `json:"env,omitempty"`      // K=V, over what is inherited
	EnvFile []string `json:"env_file,omitempty"` // absolute paths, read at every start
	User    string   `json:"user,omitempty"`
	Group   string   `json:"group,omitempty"`
	Umask   *uint32  `json:"umask,omitempty"`

	StopSignal  string        `json:"stop_signal,omitempty"` // "TERM"; "" is TERM
	SuccessExit []int         `json:"success_exit,omitempty"`
	Channel     string        `json:"channel,omitempty"`      // "", "frames", "lines"
	SlowHandler time.Duration `json:"slow_handler,omitempty"` // with a channel: it warns of handlers that take longer; 0: of none
	Manage      bool          `json:"manage,omitempty"`       // with a channel: it may change other workers
	Ready       *Ready        `json:"ready,omitempty"`
	Watchdog    time.Duration `json:"watchdog,omitempty"`        // 0: none
	WatchSignal string        `json:"watchdog_signal,omitempty"` // asks for a dump at the first miss; "" is QUIT

	// Places says where in the configuration a key of this child stands,
	// "command" → "web.toml:12:3", for messages about a failed start.
	Places Places `json:"places,omitempty"`
}

// Places says where keys of a child stand. There are one or two in each of ten
// thousand children, for which a map is too big.
type Places []Place

// Place is where a key stands: "web.toml:12:3".
type Place struct {
	Key string `json:"key"`
	At  string `json:"at"`
}

// Of is the place of a key; "" where it is not known.
func (p Places) Of(key string) string {
	for _, place := range p {
		if place.Key == key {
			return place.At
		}
	}
	return ""
}

// Ready says how a worker shows that it is up. Exactly one of the kinds is set.
type Ready struct {
	TCP     string   `json:"tcp,omitempty"`  // host:port
	HTTP    string   `json:"http,omitempty"` // URL; any 2xx or 3xx is ready
	Exec    []string `json:"exec,omitempty"` // argv; status 0 is ready
	Log     string   `json:"log,omitempty"`  // regular expression over output lines
	FD      int      `json:"fd,omitempty"`   // s6: a newline on this descriptor
	Notify  bool     `json:"notify,omitempty"`
	Channel bool     `json:"channel,omitempty"`

	Interval time.Duration `json:"interval,omitempty"` // between tries; 0: 50ms growing to 1s
	Timeout  time.Duration `json:"timeout,omitempty"`  // of one try; 0: 1s
}

// Subtree is a supervisor with all that is below it, as a node gets it.
type Subtree struct {
	Path        string              `json:"path"` // "/" is the root
	Spec        tree.Spec           `json:"spec"`
	Containment string              `json:"containment,omitempty"` // "", "basic", "cgroup"
	Workers     map[string]*Process `json:"workers,omitempty"`     // by child id
	Supervisors map[string]*Subtree `json:"supervisors,omitempty"` // by child id
}

// Speaks says whether calls can pass through this supervisor: a worker of it has a
// channel, or there are supervisors below it.
func (s *Subtree) Speaks() bool {
	if len(s.Supervisors) > 0 {
		return true
	}
	for _, w := range s.Workers {
		if w.Channel != "" {
			return true
		}
	}
	return false
}
