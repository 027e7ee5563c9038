package proc

import (
	"time"

	"github.com/supertrees/supervise/ipc"
)

// The sizes in which the reader takes memory and hands messages on. A handler
// that keeps a request or a small payload keeps those beside it as well, so
// that they must not be large.
const (
	intakeBatch    = 256 // messages put into the mailbox at once
	intakeRequests = 16  // requests allocated at once
	intakeKinds    = 4   // kinds of casts that are known again
	intakeBytes    = 4 << 10
	intakeSmall    = intakeBytes / 32 // a larger payload has memory of its own
)

// payloads copies what stands in the reader's buffer. It is the reader's own.
type payloads struct{ room []byte }

// keep is b in memory of its own. Small payloads share theirs, but not their
// capacity: who appends to one copies it.
func (p *payloads) keep(b []byte) []byte {
	if len(b) > intakeSmall {
		return append([]byte(nil), b...)
	}
	if len(b) > cap(p.room)-len(p.room) {
		p.room = make([]byte, 0, intakeBytes)
	}
	n := len(p.room)
	p.room = append(p.room, b...)
	return p.room[n:len(p.room):len(p.room)]
}

// intake is what the reader has taken and not yet put into the mailbox: many
// messages cost one lock and one waking. It is the reader's own.
type intake struct {
	requests []request             // not used yet
	casts    [intakeKinds]*request // of the last casts that were not alike
	oldest   int                   // of them
	batch    []item
	calls    int           // in batch
	now      time.Duration // since the server's epoch, when the batch came; 0: nobody has looked
}

// request is a new one. They are not used again: a handler may keep its
// context.
func (in *intake) request() *request {
	if len(in.requests) == 0 {
		in.requests = make([]request, intakeRequests)
	}
	r := &in.requests[0]
	in.requests = in.requests[1:]
	return r
}

// clock is when what is being taken has come: what was read together came
// together.
func (in *intake) clock(epoch time.Time) time.Duration {
	if in.now == 0 {
		in.now = time.Since(epoch)
	}
	return in.now
}

// like is what m has in common with a cast of late; nil: there is none.
func (in *intake) like(m *ipc.Message) *request {
	if m.Type == ipc.Call || m.Left > 0 {
		return nil
	}
	for _, r := range in.casts {
		if r != nil && r.src == m.Src && r.codec == m.Codec && r.method == m.Method {
			return r
		}
	}
	return nil
}

// receive takes a call or a cast for the mailbox.
func (s *Server) receive(m *ipc.Message) {
	in := &s.intake
	r := in.like(m)
	if r == nil {
		r = s.request(m)
	}
	in.batch = append(in.batch, item{r: r, payload: m.Payload})
	if len(in.batch) >= intakeBatch {
		s.settle()
	}
}

// request is what m asks for, and what is like it.
func (s *Server) request(m *ipc.Message) *request {
	in := &s.intake
	r := in.request()
	r.s, r.method, r.codec, r.src = s, m.Method, m.Codec, m.Src
	switch {
	case m.Type == ipc.Call:
		r.call, r.id = true, m.ID
		in.calls++
	case m.Left == 0:
		in.casts[in.oldest] = r
		in.oldest = (in.oldest + 1) % intakeKinds
	}
	if m.Left > 0 {
		r.by = s.epoch.Add(in.clock(s.epoch) + m.Left)
	}
	return r
}

// settle puts what the reader has taken into the mailbox. It waits for nobody.
func (s *Server) settle() {
	in := &s.intake
	if len(in.batch) == 0 {
		return
	}
	if in.calls > 0 {
		s.mu.Lock()
		for i := range in.batch {
			if r := in.batch[i].r; r.call {
				s.calls[r.id] = r
			}
		}
		s.mu.Unlock()
		in.calls = 0
	}
	s.stats.in.Add(uint64(len(in.batch)))
	rest, refused, over := s.box.putAll(in.batch)
	if over {
		s.ch.tell(ipc.VerbFlow, ipc.Flow{Busy: true})
	}
	for _, it := range refused {
		if it.r.call && s.box.ending() == nil {
			s.forget(it.r)
			s.refuse(it.r.id, ipc.CodeBusy, "the mailbox is full")
		}
	}
	clear(refused)
	in.batch, in.now = rest, 0
}
