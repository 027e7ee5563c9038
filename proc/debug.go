package proc

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// The bounds of $sys.trace and $sys.log (SYS-6).
const (
	traceDefault = 1000    // events after which a trace ends by itself
	traceMost    = 100_000 // that may be asked for
	logDefault   = 10      // events that are kept: OTP's number
	logMost      = 100
	seenBytes    = 256 // of a payload that are shown
)

// seen is one thing that a server did.
type seen struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // in, out, noreply
	Type    string    `json:"type"`  // call, cast, reply, error
	Method  string    `json:"method,omitempty"`
	Peer    Addr      `json:"peer"` // who sent it, or whom it is for
	ID      uint64    `json:"id,omitempty"`
	Size    int       `json:"size,omitempty"`
	Payload string    `json:"payload,omitempty"` // its beginning, if it is JSON
}

// watching is what $sys.trace and $sys.log have turned on. While both are off
// a server has none.
type watching struct {
	s      *Server
	mu     sync.Mutex
	traces int    // events that are still to be printed
	log    []seen // the last ones, oldest first
	keeps  int    // how many; 0: no log
}

// see takes one event.
func (w *watching) see(e seen, codec uint8, payload []byte) {
	e.Time, e.Size = time.Now(), len(payload)
	if codec == ipc.CodecJSON {
		e.Payload = string(payload[:min(len(payload), seenBytes)])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keeps > 0 {
		if len(w.log) >= w.keeps {
			w.log = append(w.log[:0], w.log[1:]...)
		}
		w.log = append(w.log, e)
	}
	if w.traces > 0 {
		w.traces--
		slog.Info("proc: trace", "event", e.Event, "type", e.Type, "method", e.Method, "peer", e.Peer, "id", e.ID, "size", e.Size, "payload", e.Payload)
		if w.traces == 0 {
			slog.Info("proc: the trace has ended")
			if w.keeps == 0 {
				w.s.watched.CompareAndSwap(w, nil)
			}
		}
	}
}

// around is a handler that is watched.
func (w *watching) around(h handler) handler {
	return func(it *item) (postpone bool) {
		e := seen{Event: "in", Type: "cast", Method: it.r.method, Peer: Addr{it.r.src}, ID: it.r.id}
		if it.r.call {
			e.Type = "call"
		}
		w.see(e, it.r.codec, it.payload)
		if postpone = h(it); postpone || it.r.call && it.r.hasAnswer() {
			return postpone
		}
		e.Event = "noreply"
		w.see(e, ipc.CodecNone, nil)
		return false
	}
}

// answers sees an answer that goes out.
func (w *watching) answers(r *request, t ipc.Type, codec uint8, body []byte) {
	e := seen{Event: "out", Type: "reply", Peer: Addr{r.src}, ID: r.id}
	if t == ipc.Error {
		e.Type = "error"
	}
	w.see(e, codec, body)
}

// hasAnswer says whether a call has been answered.
func (r *request) hasAnswer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered
}

// watchOrder is the payload of $sys.trace and $sys.log. Events 0 is the default.
type watchOrder struct {
	On     *bool `json:"on"`
	Events int   `json:"events"`
}

// watchVerb serves $sys.trace and $sys.log, from the reader.
func (s *Server) watchVerb(m *ipc.Message) {
	call, most, usual := m.Type == ipc.Call, traceMost, traceDefault
	if m.Method == ipc.VerbLog {
		most, usual = logMost, logDefault
		if call && len(m.Payload) == 0 {
			s.pushLog(m.ID)
			return
		}
	}
	var o watchOrder
	if json.Unmarshal(m.Payload, &o) != nil || o.On == nil || o.Events < 0 {
		if call {
			s.refuse(m.ID, ipc.CodeBadRequest, m.Method+` takes {"on":true,"events":10} or {"on":false}`)
		}
		return
	}
	n := 0
	if *o.On {
		n = usual
		if o.Events > 0 {
			n = min(o.Events, most)
		}
	}
	s.watch(m.Method, n)
	if call {
		s.push(ipc.Reply, m.ID, nil)
	}
}

// watch turns one of the two on, for so many events, or off. It is called by
// the reader alone.
func (s *Server) watch(verb string, n int) {
	w := s.watched.Load()
	if w == nil {
		w = &watching{s: s}
	}
	w.mu.Lock()
	if verb == ipc.VerbLog {
		w.keeps, w.log = n, nil
	} else {
		w.traces = n
	}
	off := w.keeps == 0 && w.traces == 0
	w.mu.Unlock()
	if off {
		w = nil
	}
	s.watched.Store(w)
}

// pushLog answers with what has been logged.
func (s *Server) pushLog(id uint64) {
	all := []seen{}
	if w := s.watched.Load(); w != nil {
		w.mu.Lock()
		all = append(all, w.log...)
		w.mu.Unlock()
	}
	m := ipc.Message{Type: ipc.Reply, ID: id, Codec: ipc.CodecJSON, Payload: mustJSON(all)}
	_ = m.Frames(nil, func(f *ipc.Frame) error { return s.ch.w.Push(f, false) }) // a broken pipe ends the reader, which says so
}
