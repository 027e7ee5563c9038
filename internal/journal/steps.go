package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/supertrees/supervise/tree"
)

// Steps writes down every step of one supervisor's core, so that it can be
// played again: a bug report that repeats itself. It is not safe for
// concurrent use.
type Steps struct {
	w   io.Writer
	buf bytes.Buffer
	err error
}

// origin is the first line of a record: what the core was made of.
type origin struct {
	Path string    `json:"path"`
	Spec tree.Spec `json:"spec"`
	Seed uint64    `json:"seed"`
}

// step is every other line.
type step struct {
	Now     time.Duration   `json:"now"`
	Name    string          `json:"name"`
	Event   json.RawMessage `json:"event"`
	Actions json.RawMessage `json:"actions"`
}

// RecordSteps begins a record with the spec and the seed that the core was made of.
func RecordSteps(w io.Writer, path string, spec tree.Spec, seed uint64) *Steps {
	s := &Steps{w: w}
	s.line(origin{Path: path, Spec: spec, Seed: seed})
	return s
}

// Write adds a step. The first error ends the record; Err has it.
func (s *Steps) Write(now time.Duration, e tree.Event, actions []tree.Action) {
	if s.err != nil {
		return
	}
	event, err := json.Marshal(e)
	if err == nil {
		var did []byte
		if did, err = marshalActions(actions); err == nil {
			s.line(step{Now: now, Name: typeName(e), Event: event, Actions: did})
			return
		}
	}
	s.err = err
}

// Err is why the record ends early, or nil.
func (s *Steps) Err() error { return s.err }

// line writes one line with one write, so that a killed process leaves whole lines.
func (s *Steps) line(v any) {
	s.buf.Reset()
	if s.err = json.NewEncoder(&s.buf).Encode(v); s.err == nil {
		_, s.err = s.w.Write(s.buf.Bytes())
	}
}

// typeName is a type without its package: "Exited".
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// named is an action with its type.
type named struct {
	Name   string      `json:"name"`
	Action tree.Action `json:"action"`
}

func marshalActions(actions []tree.Action) ([]byte, error) {
	all := make([]named, len(actions))
	for i, a := range actions {
		all[i] = named{typeName(a), a}
	}
	return json.Marshal(all)
}

// maxStep bounds a line of a record.
const maxStep = 64 << 20

// Replay plays a record on a new core and compares what it decides with what
// was decided. It returns the core as it then is. A last line that was cut
// short, by a kill, is left out. The error names the first step that differs.
func Replay(r io.Reader) (*tree.Supervisor, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxStep)
	if !lines.Scan() {
		return nil, fmt.Errorf("replaying a record: %w", cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
	}
	var from origin
	if err := json.Unmarshal(lines.Bytes(), &from); err != nil {
		return nil, fmt.Errorf("replaying a record: its first line: %w", err)
	}
	core := tree.New(from.Spec, from.Seed)
	for n := 1; lines.Scan(); n++ {
		var s step
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			break
		}
		if err := replayStep(core, &s); err != nil {
			return core, fmt.Errorf("replaying %s, step %d: %w", from.Path, n, err)
		}
	}
	return core, lines.Err()
}

func replayStep(core *tree.Supervisor, s *step) error {
	e, err := readEvent(s.Name, s.Event)
	if err != nil {
		return err
	}
	did, err := marshalActions(core.Step(s.Now, e))
	if err != nil {
		return err
	}
	if !bytes.Equal(did, s.Actions) {
		return fmt.Errorf("%s %s: recorded %s, now %s", s.Name, s.Event, s.Actions, did)
	}
	return nil
}

// readEvent is the reverse of typeName and its JSON.
func readEvent(name string, data []byte) (tree.Event, error) {
	for _, read := range [...]func() (string, tree.Event, error){
		as[tree.Boot](data), as[tree.Started](data), as[tree.Ready](data), as[tree.Ignored](data),
		as[tree.SpawnFailed](data), as[tree.Exited](data), as[tree.Stuck](data), as[tree.Tick](data),
		as[tree.Shutdown](data), as[tree.ParentGone](data), as[tree.Hurry](data),
		as[tree.StartChild](data), as[tree.TerminateChild](data), as[tree.RestartChild](data),
		as[tree.DeleteChild](data), as[tree.CycleChild](data), as[tree.WhichChildren](data),
		as[tree.CountChildren](data), as[tree.GetChildspec](data), as[tree.Reload](data),
		as[tree.Suspend](data), as[tree.Resume](data),
	} {
		if of, e, err := read(); of == name {
			return e, err
		}
	}
	return nil, fmt.Errorf("there is no event %q", name)
}

func as[E tree.Event](data []byte) func() (string, tree.Event, error) {
	return func() (string, tree.Event, error) {
		var e E
		err := json.Unmarshal(data, &e)
		return typeName(e), e, err
	}
}
