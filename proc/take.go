package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// take is called by the channel's reader with everything that is no answer. It
// waits for nobody. What comes behind messages for the mailbox finds them there.
func (s *Server) take(m *ipc.Message) {
	if m.Type == ipc.Cancel || m.Refused != "" || m.Method[0] == '$' {
		s.settle()
	}
	switch {
	case m.Type == ipc.Cancel:
		s.mu.Lock()
		r := s.calls[m.ID]
		delete(s.calls, m.ID)
		s.mu.Unlock()
		if r != nil {
			r.giveUp()
		}
	case m.Refused != "":
		if m.Type == ipc.Call {
			s.refuse(m.ID, m.Refused, "")
		}
	case m.Method[0] == '$':
		s.system(m)
	default:
		s.receive(m)
	}
}

func (s *Server) refuse(id uint64, code, message string) {
	if message == "" {
		message = code
	}
	s.push(ipc.Error, id, &ipc.ErrorBody{Code: code, Message: message})
}

// push answers from the reader: it waits for nobody.
func (s *Server) push(t ipc.Type, id uint64, v any) {
	f := ipc.Frame{Header: ipc.Header{Type: t, ID: id}}
	if v != nil {
		f.Flags, f.Payload = ipc.CodecJSON, mustJSON(v)
	}
	if len(f.Payload) > ipc.MaxPayload {
		f = ipc.Frame{Header: ipc.Header{Type: ipc.Error, Flags: ipc.CodecJSON, ID: id}, Payload: mustJSON(&ipc.ErrorBody{Code: ipc.CodeTooLarge, Message: "too large"})}
	}
	_ = s.ch.w.Push(&f, false) // a broken pipe ends the reader, which says so
}

// system takes what the protocol itself sends.
func (s *Server) system(m *ipc.Message) {
	call := m.Type == ipc.Call
	var answer any
	switch m.Method {
	case ipc.VerbStop, ipc.VerbTerminate:
		var stop ipc.Stop
		_ = json.Unmarshal(m.Payload, &stop) // an order without a reason is an order
		s.ordered(stop)
	case ipc.VerbFlow:
		var f ipc.Flow
		if json.Unmarshal(m.Payload, &f) == nil {
			s.ch.flow.set(s.ch, f)
		}
	case ipc.VerbExit:
		var d ipc.Down
		if json.Unmarshal(m.Payload, &d) == nil {
			s.later("exit of "+d.Path, func(ctx context.Context) error { return s.exited(ctx, downOf(d)) })
		}
	case ipc.VerbPing:
		var p ipc.Ping
		if json.Unmarshal(m.Payload, &p) == nil && p.Mailbox && call {
			id := m.ID
			s.later("ping", func(context.Context) error { s.push(ipc.Reply, id, nil); return nil })
			return
		}
	case ipc.VerbMethods:
		answer = s.Methods()
	case ipc.VerbStatistics:
		answer = s.statistics()
	case ipc.VerbSuspend:
		s.box.suspend(true)
	case ipc.VerbResume:
		s.box.suspend(false)
	case ipc.VerbGetState, ipc.VerbReplace:
		s.stateVerb(m)
		return
	case ipc.VerbTrace, ipc.VerbLog:
		s.watchVerb(m)
		return
	default:
		if call {
			s.refuse(m.ID, ipc.CodeNoMethod, "no method "+m.Method)
		}
		return
	}
	if call {
		s.push(ipc.Reply, m.ID, answer)
	}
}

// ordered is the supervisor's order to end.
func (s *Server) ordered(stop ipc.Stop) {
	e := &ending{reason: Reason{Class: Shutdown}}
	if stop.Reason != "" && stop.Reason != "shutdown" {
		e.reason = Reason{Abnormal, stop.Reason}
		if e.reason.Class.UnmarshalText([]byte(stop.Reason)) == nil {
			e.reason.Detail = ""
		}
	}
	if stop.GraceMS > 0 {
		e.by = time.Now().Add(time.Duration(stop.GraceMS) * time.Millisecond)
	}
	s.end(e)
}

// stateOf is a state that $sys.get_state shows and $sys.replace_state sets.
type stateOf struct {
	get func() ([]byte, error)
	set func([]byte) error
}

// State names the state that $sys.get_state shows and $sys.replace_state sets,
// as JSON, both between two handlers. A value that does not decode changes
// nothing. For Init.
func State[T any](s *Server, p *T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = &stateOf{
		get: func() ([]byte, error) { return json.Marshal(p) },
		set: func(b []byte) error {
			var v T
			if err := json.Unmarshal(b, &v); err != nil {
				return fmt.Errorf("replacing the state: %w", err)
			}
			*p = v
			return nil
		},
	}
}

// stateVerb serves the two verbs of the state in the mailbox, also while the
// server is suspended.
func (s *Server) stateVerb(m *ipc.Message) {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	if state == nil {
		s.refuse(m.ID, ipc.CodeNoMethod, "the worker shows no state")
		return
	}
	id, payload, set := m.ID, m.Payload, m.Method == ipc.VerbReplace
	s.box.putSystem(func(context.Context) error {
		if set {
			if err := state.set(payload); err != nil {
				s.refuse(id, ipc.CodeBadRequest, err.Error())
				return nil
			}
		}
		b, err := state.get()
		if err != nil {
			s.refuse(id, ipc.CodeError, err.Error())
			return nil
		}
		s.push(ipc.Reply, id, json.RawMessage(b))
		return nil
	})
}

func pid() int { return os.Getpid() }
