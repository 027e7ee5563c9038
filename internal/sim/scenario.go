package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/supertrees/supervise/tree"
)

// Scenario is a supervision tree and what is done to it.
type Scenario struct {
	Name  string
	Root  *Child
	Steps []Step
}

// Step is one step of a scenario. Which fields count is the Op's business.
type Step struct {
	Op        Op
	Unordered bool
	Path      string // exit, release
	How       How
	Call      Call
	Tag       string        // async; "" otherwise
	Async     bool          // Call is issued and not waited for
	Advance   time.Duration // advance
	Children  *Child        // check_childspecs: their supervisor
	CheckAuto bool          // check_childspecs: auto_shutdown is given
}

// Op is what a step does.
type Op uint8

// The operations. The first ones are the runner's own.
const (
	OpStart Op = iota
	OpFinal
	OpStop
	OpExit
	OpStartChild
	OpTerminateChild
	OpDeleteChild
	OpRestartChild
	OpGetChildspec
	OpWhichChildren
	OpCountChildren
	OpAsync
	OpRelease
	OpSuspend
	OpResume
	OpAsyncStop
	OpAdvance
	OpChangeSpec
	OpCheckChildspecs
)

var ops = [...]string{OpStart: "start", OpFinal: "final", OpStop: "stop", OpExit: "exit",
	OpStartChild: "start_child", OpTerminateChild: "terminate_child", OpDeleteChild: "delete_child",
	OpRestartChild: "restart_child", OpGetChildspec: "get_childspec", OpWhichChildren: "which_children",
	OpCountChildren: "count_children", OpAsync: "async", OpRelease: "release", OpSuspend: "suspend",
	OpResume: "resume", OpAsyncStop: "async_stop", OpAdvance: "advance", OpChangeSpec: "change_spec",
	OpCheckChildspecs: "check_childspecs"}

// String returns the scenario's word.
func (o Op) String() string { return ops[o] }

// UnmarshalText reads the scenario's word.
func (o *Op) UnmarshalText(text []byte) error {
	if err := oneOf(ops[OpExit:], text, "op", o); err != nil {
		return err
	}
	*o += OpExit
	return nil
}

// oneOf reads one of a table's words.
func oneOf[T ~uint8](words []string, text []byte, what string, v *T) error {
	for i, w := range words {
		if w == string(text) {
			*v = T(i)
			return nil
		}
	}
	return fmt.Errorf("%s %q is none of %s", what, text, strings.Join(words, ", "))
}

// maxAdvance bounds the clock of a scenario, in all.
const maxAdvance = 100 * 365 * 24 * time.Hour

// Read reads a scenario file. The error says which part cannot be read.
func Read(data []byte) (*Scenario, error) {
	var file struct {
		Name  string            `json:"name"`
		Root  json.RawMessage   `json:"root"`
		Steps []json.RawMessage `json:"steps"`
	}
	if err := decode(data, &file); err != nil {
		return nil, fmt.Errorf("reading scenario: %w", err)
	}
	if file.Root == nil {
		return nil, fmt.Errorf("reading scenario: no root")
	}
	root, err := readChild(file.Root)
	if err != nil {
		return nil, fmt.Errorf("reading scenario: root: %w", err)
	}
	root.Spec.Kind = tree.KindSupervisor // whatever it says
	s := &Scenario{Name: file.Name, Root: root, Steps: make([]Step, len(file.Steps))}
	var advanced time.Duration
	for i, raw := range file.Steps {
		if s.Steps[i], err = readStep(raw); err != nil {
			return nil, fmt.Errorf("reading scenario: step %d: %w", i+1, err)
		}
		if advanced += s.Steps[i].Advance; advanced > maxAdvance {
			return nil, fmt.Errorf("reading scenario: step %d: the clock is advanced by more than %v", i+1, maxAdvance)
		}
	}
	return s, nil
}

// decode reads one JSON value and nothing after it.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// rawStep is a step as it stands in the file.
type rawStep struct {
	Op        *Op               `json:"op"`
	Unordered bool              `json:"unordered"`
	Child     json.RawMessage   `json:"child"`
	How       *How              `json:"how"`
	Sup       string            `json:"sup"`
	Label     *string           `json:"label"`
	Behaviour json.RawMessage   `json:"behaviour"`
	Tag       string            `json:"tag"`
	Call      json.RawMessage   `json:"call"`
	MS        *int64            `json:"ms"`
	Spec      json.RawMessage   `json:"spec"`
	Children  []json.RawMessage `json:"children"`
	Auto      json.RawMessage   `json:"auto_shutdown"`
}

func readStep(data []byte) (Step, error) {
	var raw rawStep
	if err := decode(data, &raw); err != nil {
		return Step{}, err
	}
	if raw.Op == nil {
		return Step{}, fmt.Errorf("no op")
	}
	step := Step{Op: *raw.Op, Unordered: raw.Unordered}
	if err := raw.fill(&step); err != nil {
		return Step{}, fmt.Errorf("%s: %w", step.Op, err)
	}
	return step, nil
}

func (raw *rawStep) fill(step *Step) (err error) {
	switch step.Op {
	case OpExit, OpRelease:
		if step.Path, err = raw.name(); err != nil {
			return err
		}
		if step.Op == OpExit && raw.How == nil {
			return fmt.Errorf("no how")
		}
		if raw.How != nil {
			step.How = *raw.How
		}
	case OpAsync:
		call, err := readStep(raw.Call)
		if err != nil {
			return fmt.Errorf("call: %w", err)
		}
		if call.Op < OpStartChild || call.Op > OpCountChildren {
			return fmt.Errorf("call: %s is no request", call.Op)
		}
		step.Async, step.Tag, step.Call = true, raw.Tag, call.Call
	case OpAdvance:
		if raw.MS == nil || *raw.MS < 0 || *raw.MS > int64(maxAdvance/time.Millisecond) {
			return fmt.Errorf("ms is no number of milliseconds from 0 to %d", maxAdvance/time.Millisecond)
		}
		step.Advance = time.Duration(*raw.MS) * time.Millisecond
	case OpAsyncStop:
	case OpCheckChildspecs:
		step.CheckAuto = raw.Auto != nil
		step.Children, err = childrenOnly(raw.Children, raw.Auto)
	default:
		step.Call, err = raw.call(step.Op)
	}
	return err
}

// call reads a request.
func (raw *rawStep) call(op Op) (Call, error) {
	call := Call{Op: op, Sup: raw.Sup}
	if raw.Sup == "" {
		return call, fmt.Errorf("no sup")
	}
	var err error
	switch op {
	case OpStartChild:
		if raw.Label == nil {
			call.Child, err = readChild(raw.Child)
			break
		}
		call.Ref.ID = *raw.Label
		call.Instance, err = readOverride(raw.Behaviour)
	case OpChangeSpec:
		call.Child, err = readChild(raw.Spec)
	case OpTerminateChild, OpDeleteChild, OpRestartChild, OpGetChildspec:
		call.Ref.ID, err = raw.name()
	}
	return call, err
}

// name reads the child field where it is a string.
func (raw *rawStep) name() (string, error) {
	var name string
	if err := json.Unmarshal(raw.Child, &name); err != nil || name == "" {
		return "", fmt.Errorf("no child")
	}
	return name, nil
}
