package tree_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/backoff"
	"github.com/supertrees/supervise/tree"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A script tells one story: a supervisor, its children, what happens, and what
// it does about it.
//
//	supervisor rest_for_one intensity=1 period=5
//	child a shutdown=2s
//	> boot                   an event; what stands below it are the actions
//	    spawn a#1
//	at 1.5s                  the clock
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n"); got != string(want) {
				for i := range g {
					if i >= len(w) || g[i] != w[i] {
						t.Fatalf("%s:%d: the core says\n%s\n(go test ./tree -update writes it down)", file, i+1, strings.Join(g[i:min(i+8, len(g))], "\n"))
					}
				}
			}
		})
	}
}

// player is the state of a script that is being played.
type player struct {
	spec     tree.Spec
	core     *tree.Supervisor
	now      time.Duration
	tags     uint64
	deadline string
	out      bytes.Buffer
}

// play gives the script with what the core does now.
func play(script string) (string, error) {
	p := &player{spec: tree.Spec{Intensity: 1, Period: 5}, deadline: "none"}
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "    ") {
			continue // what it did when this was written
		}
		p.out.WriteString(line + "\n")
		if err := p.line(strings.Fields(line)); err != nil {
			return "", fmt.Errorf("line %d: %s: %w", i+1, line, err)
		}
	}
	return p.out.String(), nil
}

func (p *player) line(words []string) error {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	switch words[0] {
	case "supervisor":
		return p.supervisor(words[1:])
	case "child":
		c, err := child(words[1:])
		p.spec.Children = append(p.spec.Children, c)
		return err
	case "at":
		at, err := time.ParseDuration(words[1])
		p.now = at
		return err
	case ">":
		return p.event(words[1:])
	default:
		return fmt.Errorf("no such line")
	}
}

func (p *player) supervisor(words []string) error {
	if err := p.spec.Strategy.UnmarshalText([]byte(words[0])); err != nil {
		return err
	}
	return each(words[1:], func(key, value string) (err error) {
		switch key {
		case "intensity":
			if value == "infinity" {
				p.spec.Intensity = tree.Unlimited
				return nil
			}
			var n int
			n, err = strconv.Atoi(value)
			p.spec.Intensity = tree.Intensity(n)
		case "period":
			p.spec.Period, err = strconv.ParseInt(value, 10, 64)
		case "auto_shutdown":
			err = p.spec.AutoShutdown.UnmarshalText([]byte(value))
		default:
			err = fmt.Errorf("no such flag")
		}
		return err
	})
}

func each(words []string, set func(key, value string) error) error {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if err := set(key, value); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

func child(words []string) (tree.ChildSpec, error) {
	c := tree.ChildSpec{ID: words[0], Shutdown: tree.Stop{Time: 5 * time.Second}}
	return c, each(words[1:], func(key, value string) (err error) {
		switch key {
		case "restart":
			err = c.Restart.UnmarshalText([]byte(value))
		case "start":
			err = c.Start.UnmarshalText([]byte(value))
		case "start_timeout":
			c.StartTimeout, err = time.ParseDuration(value)
		case "significant":
			c.Significant = true
		case "shutdown":
			if c.Shutdown.Mode.UnmarshalText([]byte(value)) != nil {
				c.Shutdown.Time, err = time.ParseDuration(value)
			}
		case "backoff": // linear, without jitter: this long, twice, three times, …
			c.Backoff = backoff.Policy{Kind: backoff.Linear, Max: time.Hour, ResetAfter: time.Minute}
			c.Backoff.Min, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("no such key")
		}
		return err
	})
}

func (p *player) event(words []string) error {
	if p.core == nil {
		if err := tree.Check(p.spec); err != nil {
			return err
		}
		p.core = tree.New(p.spec, 1)
	}
	e, err := p.parse(words)
	if err != nil {
		return err
	}
	for _, a := range p.core.Step(p.now, e) {
		fmt.Fprintf(&p.out, "    %s\n", told(a))
	}
	deadline := "none"
	if at, ok := p.core.Deadline(); ok {
		deadline = at.String()
	}
	if deadline != p.deadline {
		fmt.Fprintf(&p.out, "    deadline %s\n", deadline)
		p.deadline = deadline
	}
	return nil
}

// parse reads an event: "exited a#1 abnormal", "terminate_child a", ….
func (p *player) parse(words []string) (tree.Event, error) {
	var ref tree.Ref
	if len(words) > 1 {
		id, n, _ := strings.Cut(words[1], "#")
		ref.ID = id
		ref.Incarnation, _ = strconv.ParseUint(n, 10, 64)
	}
	rest := strings.Join(words[min(2, len(words)):], " ")
	facts := map[string]tree.Event{
		"boot": tree.Boot{}, "tick": tree.Tick{}, "shutdown": tree.Shutdown{}, "parent_gone": tree.ParentGone{}, "hurry": tree.Hurry{},
		"started": tree.Started{Ref: ref}, "ready": tree.Ready{Ref: ref}, "ignored": tree.Ignored{Ref: ref}, "stuck": tree.Stuck{Ref: ref},
		"spawn_failed":         tree.SpawnFailed{Ref: ref, Err: rest},
		"spawn_failed_passing": tree.SpawnFailed{Ref: ref, Err: rest, Passing: true},
	}
	if e, ok := facts[words[0]]; ok {
		return e, nil
	}
	if words[0] == "exited" {
		var reason tree.Reason
		word, term := strings.CutSuffix(rest, "_term")
		err := reason.UnmarshalText([]byte(word))
		return tree.Exited{Ref: ref, Reason: reason, Term: term}, err
	}
	p.tags++
	return p.request(words, ref)
}

func (p *player) request(words []string, ref tree.Ref) (tree.Event, error) {
	requests := map[string]tree.Event{
		"terminate_child": tree.TerminateChild{Tag: p.tags, Ref: ref}, "stop": tree.TerminateChild{Tag: p.tags, Ref: ref, Interrupt: true},
		"restart_child": tree.RestartChild{Tag: p.tags, Ref: ref}, "delete_child": tree.DeleteChild{Tag: p.tags, Ref: ref},
		"cycle": tree.CycleChild{Tag: p.tags, Ref: ref}, "get_childspec": tree.GetChildspec{Tag: p.tags, Ref: ref},
		"which_children": tree.WhichChildren{Tag: p.tags}, "count_children": tree.CountChildren{Tag: p.tags},
		"suspend": tree.Suspend{Tag: p.tags}, "resume": tree.Resume{Tag: p.tags},
	}
	if e, ok := requests[words[0]]; ok {
		return e, nil
	}
	switch words[0] {
	case "start_child":
		if len(words) == 1 {
			return tree.StartChild{Tag: p.tags}, nil
		}
		c, err := child(words[1:])
		return tree.StartChild{Tag: p.tags, Spec: c}, err
	case "reload": // to these children, with the flags as they are
		spec := p.spec
		spec.Children = nil
		for _, id := range words[1:] {
			spec.Children = append(spec.Children, tree.ChildSpec{ID: id, Shutdown: tree.Stop{Time: 5 * time.Second}})
		}
		return tree.Reload{Tag: p.tags, Spec: spec}, nil
	default:
		return nil, fmt.Errorf("no such event")
	}
}

func name(r tree.Ref) string { return fmt.Sprintf("%s#%d", r.ID, r.Incarnation) }

// told writes an action as a script has it.
func told(action tree.Action) string {
	switch a := action.(type) {
	case tree.Spawn:
		return "spawn " + name(a.Ref)
	case tree.Terminate:
		if a.Time == 0 {
			return "terminate " + name(a.Ref)
		}
		return fmt.Sprintf("terminate %s %v", name(a.Ref), a.Time)
	case tree.Kill:
		return "kill " + name(a.Ref)
	case tree.Up:
		return "up " + name(a.Ref)
	case tree.Booted:
		return "booted"
	case tree.Failed:
		return fmt.Sprintf("failed %s: %s", name(a.Ref), a.Err)
	case tree.Waiting:
		return fmt.Sprintf("waiting %s %v", name(a.Ref), a.Delay)
	case tree.Report:
		text := fmt.Sprintf("report %s %s %s", a.Context, a.ID, a.Reason)
		if a.Count > 0 {
			text += fmt.Sprintf(" of %d", a.Count)
		}
		return text
	case tree.Down:
		if a.Forgotten {
			return "forgotten " + name(a.Ref)
		}
		return "down " + name(a.Ref)
	case tree.Reply:
		return fmt.Sprintf("reply %d %s", a.Tag, answered(a.Answer))
	case tree.Quit:
		text := fmt.Sprintf("quit %s: %s", a.Reason, a.Cause)
		if a.Child.ID != "" {
			text += " of " + name(a.Child)
		}
		if a.Err != "" {
			text += ", " + a.Err
		}
		for _, r := range a.Stuck {
			text += ", stuck " + name(r)
		}
		return text
	default:
		return fmt.Sprintf("%T", a)
	}
}

func answered(a tree.Answer) string {
	switch {
	case a.Err != "":
		return "error " + a.Err
	case a.Counts != nil:
		return fmt.Sprintf("%d specs, %d active, %d supervisors, %d workers", a.Counts.Specs, a.Counts.Active, a.Counts.Supervisors, a.Counts.Workers)
	case a.Spec != nil:
		return fmt.Sprintf("%s %s %s", a.Spec.ID, a.Spec.Restart, a.Spec.Shutdown.Mode)
	case a.Child.Incarnation > 0:
		return "ok " + name(a.Child)
	}
	text := "ok"
	for _, c := range a.Children {
		text += fmt.Sprintf(" %s:%s", name(c.Ref), c.State)
	}
	return text
}
