package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// state is what lives at the end of a scenario's steps.
type state struct {
	sups      []string // supervisors that run and are not suspended, sorted
	workers   []string
	suspended []string // supervisors that still are
	gate      string   // the start that is blocked, if one is
	blocked   string   // the supervisor that waits for it
}

// stateOf reads it from a trace, up to the final step.
func stateOf(trace []byte, suspended []string) state {
	kinds := map[string]string{}
	var s state
	for _, line := range bytes.Split(trace, []byte("\n")) {
		var e struct{ Ev, ID, Kind, Op string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		if e.Ev == "step" && e.Op == "final" {
			break
		}
		switch e.Ev {
		case "start":
			kinds[e.ID] = e.Kind
		case "stop":
			delete(kinds, e.ID)
			// A new life is not suspended.
			suspended = slices.DeleteFunc(slices.Clone(suspended), func(p string) bool { return p == e.ID && kinds[p] == "" })
		case "gate":
			s.gate = e.ID
		}
		if e.Ev != "gate" && e.ID == s.gate {
			s.gate = ""
		}
	}
	for path, kind := range kinds {
		if kind != "supervisor" {
			s.workers = append(s.workers, path)
		} else if slices.Contains(suspended, path) {
			s.suspended = append(s.suspended, path)
		} else {
			s.sups = append(s.sups, path)
		}
	}
	slices.Sort(s.workers)
	slices.Sort(s.sups)
	slices.Sort(s.suspended)
	for p := parent(s.gate); p != "" && s.blocked == ""; p = parent(p) {
		if kinds[p] != "" {
			s.blocked = p
		}
	}
	return s
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)]
}
