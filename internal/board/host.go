package board

import (
	"encoding/json"
	"math"

	"github.com/supertrees/supervise/ipc"
)

// News is what a board has for its node. The set is closed: Own, Request,
// Cascade, Ended.
type News interface{ size() int }

type (
	// Own is a message of the node at the other end of a link.
	Own struct {
		From    *Port
		Message ipc.Message
	}
	// Request is a call or a cast for this supervisor itself. Ticket is 0 for
	// a cast; a call is answered with Reply or Fail.
	Request struct {
		From    *Port
		Message ipc.Message
		Ticket  uint64
		Manage  bool // the sender may change things: the switch has seen to it
	}
	// Cascade says that the fault of another life is to end this worker, with
	// Detail for its reason.
	Cascade struct {
		From   *Port
		Detail string
	}
	// Ended says that nothing more comes from a link, or goes to it. Why is ""
	// if the other side closed it; else it is what was wrong, and Head is the
	// beginning of what was malformed. It comes once or twice for a link, and not
	// for one that End has ended before.
	Ended struct {
		From *Port
		Why  string
		Head []byte
	}
)

// newsSize is what a piece of news counts beside its payload, in bytes.
const newsSize = 128

func (n Own) size() int     { return newsSize + len(n.Message.Payload) }
func (n Request) size() int { return newsSize + len(n.Message.Payload) }
func (n Cascade) size() int { return newsSize }
func (n Ended) size() int   { return newsSize }

// Bell has a token whenever there is news.
func (b *Board) Bell() <-chan struct{} { return b.bell }

// Take is all news that has come since it was called last, in order.
func (b *Board) Take() []News {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := b.news
	b.news, b.newsSize = nil, 0
	b.hold()
	return news
}

func (b *Board) post(n News) {
	b.news = append(b.news, n)
	b.newsSize += n.size()
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// host is the board as its switch sees it. Its methods run with the lock held.
type host Board

// Send queues a frame.
func (h *host) Send(l *ipc.Link, f *ipc.Frame, from *ipc.Link) {
	b := (*Board)(h)
	p, _ := l.Data.(*Port)
	switch {
	case p == nil:
		l.Data = b.parent // its first frame: NewNode has not returned yet
		b.enqueue(b.parent, f, from)
	case p.client != nil:
		p.client.receive(f)
	default:
		b.enqueue(p, f, from)
	}
}

// Queued says what waits for a link, and for all. Of a link to another node it
// is what waits in from's lane; one that has its share counts as if all had,
// so that those have room who are not to blame for it, up to a bound.
func (h *host) Queued(l, from *ipc.Link) (here, all int) {
	p, _ := l.Data.(*Port)
	switch {
	case p == nil:
		return 0, h.queued
	case p.own != ownMessages:
		return p.waits(), h.queued
	}
	switch total := p.waits(); {
	case total > linkCap:
		return math.MaxInt, math.MaxInt
	case total > linkMark:
		return p.lanes.wait(laneOf(from)), math.MaxInt
	}
	return p.lanes.wait(laneOf(from)), h.queued
}

// requestMax is the largest payload of a message to a supervisor itself, in bytes.
const requestMax = 64 << 10

// Request gives the node a message for the supervisor itself. Of what a worker
// says of its state only the last word waits, so that one that talks without
// end fills no queue.
func (h *host) Request(l *ipc.Link, m *ipc.Message, ticket uint64) {
	b := (*Board)(h)
	p, _ := l.Data.(*Port)
	full := b.newsSize > newsMark
	b.molting(p, m)
	switch {
	case m.Method == ipc.VerbMolt && ticket != 0:
		b.molt(p, ticket)
		return
	case ticket != 0 && full:
		b.sw.Fail(ticket, &ipc.ErrorBody{Code: ipc.CodeBusy})
		return
	case ticket != 0 && len(m.Payload) > requestMax:
		b.sw.Fail(ticket, &ipc.ErrorBody{Code: ipc.CodeTooLarge})
		return
	case ticket == 0 && len(m.Payload) > requestMax, full && m.Method == ipc.VerbStatus:
		return
	}
	own := *m
	own.Payload = append([]byte(nil), m.Payload...)
	if ticket == 0 && m.Method == ipc.VerbStatus && len(b.news) > 0 {
		if last, ok := b.news[len(b.news)-1].(Request); ok && last.From == p && last.Message.Method == m.Method {
			b.news[len(b.news)-1] = Request{From: p, Message: own}
			return
		}
	}
	b.post(Request{From: p, Message: own, Ticket: ticket, Manage: l.Manage || m.Manage})
}

// molt answers a worker that is about to become another image of itself, by
// execve, within the same life. The answer is the last that the old image gets.
func (b *Board) molt(p *Port, ticket uint64) {
	if p == nil || p.w < 0 || p.link.Kind() != ipc.ToWorker {
		b.sw.Fail(ticket, &ipc.ErrorBody{Code: ipc.CodeNotPermitted})
		return
	}
	b.sw.Reply(ticket, nil)
	p.molts = true
}

// molting gives the new image what was kept for it, when it greets; or the old
// one, when it says that it is still there.
func (b *Board) molting(p *Port, m *ipc.Message) {
	if p == nil || !p.molts || m.Method != ipc.VerbHello && m.Method != ipc.VerbMolted {
		return
	}
	kept := p.kept
	p.molts, p.kept = false, nil
	if len(kept) == 0 {
		return
	}
	b.queued -= len(kept)
	b.begin(&p.out, len(kept))
	p.out.bytes = append(p.out.bytes, kept...)
	b.grown(p, len(kept))
}

// Broken ends a link whose other end sent what no peer may.
func (h *host) Broken(l *ipc.Link, bad *ipc.Malformed) {
	if p, _ := l.Data.(*Port); p != nil {
		(*Board)(h).broken(p, bad)
	}
}

// Cascade tells the node that a link's fault ends a worker.
func (h *host) Cascade(l *ipc.Link, detail string) {
	if p, _ := l.Data.(*Port); p != nil {
		(*Board)(h).post(Cascade{From: p, Detail: detail})
	}
}

// Numbered lets the node start its children.
func (h *host) Numbered(uint32) {
	select {
	case <-h.numbered:
	default:
		close(h.numbered)
	}
}

// Reply answers the call of a Request; v goes as JSON, nil as nothing.
func (b *Board) Reply(ticket uint64, v any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sw.Reply(ticket, v)
	b.flush()
}

// Fail answers the call of a Request with an error. message "" is the code.
func (b *Board) Fail(ticket uint64, code, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sw.Fail(ticket, &ipc.ErrorBody{Code: code, Message: message})
	b.flush()
}

// Tell casts one of the protocol's own methods to a worker.
func (b *Board) Tell(p *Port, method string, v any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cast(p, method, v)
	b.flush()
}

func (b *Board) cast(p *Port, method string, v any) {
	payload, err := json.Marshal(v)
	if err != nil {
		panic("writing " + method + ": " + err.Error()) // its types hold nothing that JSON lacks
	}
	fields := ipc.Fields{Method: []byte(method)}
	b.enqueue(p, &ipc.Frame{
		Header: ipc.Header{Type: ipc.Cast, Flags: ipc.CodecJSON},
		Fields: fields.Append(nil), Payload: payload,
	}, nil)
}

// State is what the switch knows of a life.
type State struct {
	Calls   int      `json:"calls"`             // that it has made and that are not answered yet
	Waiting int      `json:"waiting"`           // calls and monitors that wait for its answer
	Queued  int      `json:"queued"`            // bytes that wait for it to be read
	Dropped uint64   `json:"dropped,omitempty"` // casts, because too much waited
	Busy    bool     `json:"busy,omitempty"`    // senders are asked to hold back
	Names   []string `json:"names,omitempty"`
}

// State looks at a link.
func (b *Board) State(p *Port) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return State{
		Calls: p.link.Open(), Waiting: p.link.Waiting(), Queued: p.waits(),
		Dropped: p.link.Dropped(), Busy: p.link.Busy(), Names: b.sw.Holds(p.link),
	}
}
