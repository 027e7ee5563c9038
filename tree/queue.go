package tree

// maxRequests bounds the requests that wait. Deaths need no bound: a child
// has one at most.
const maxRequests = 1 << 16

// entry is what waits for its turn: a request, or something to decide.
type entry struct {
	kind entryKind
	// counted marks a retry whose restart was counted before its delay.
	counted bool
	ref     Ref
	request Event
}

type entryKind uint8

const (
	entryRequest entryKind = iota
	entryDeath             // the life of ref ended, or failed to start
	entryRetry             // OTP's try_again_restart
)

// queue is OTP's mailbox: what waits, in order of arrival.
type queue struct {
	entries  []entry
	first    int // entries before it are gone
	requests int
	system   int // how many of the requests are Suspend and Resume
}

func (q *queue) push(e entry) {
	if e.kind == entryRequest {
		q.requests++
		if isSystem(e.request) {
			q.system++
		}
	}
	if q.first > 64 && q.first*2 > len(q.entries) {
		n := copy(q.entries, q.entries[q.first:])
		clear(q.entries[n:])
		q.entries, q.first = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
}

// pop takes the oldest entry; suspended, the oldest system request, past
// everything else (SEMANTICS SYS-1).
func (q *queue) pop(suspended bool) (entry, bool) {
	i := q.first
	if suspended {
		if q.system == 0 {
			return entry{}, false
		}
		for !isSystem(q.entries[i].request) {
			i++
		}
	}
	if i == len(q.entries) {
		return entry{}, false
	}
	e := q.entries[i]
	if e.kind == entryRequest {
		q.requests--
		if isSystem(e.request) {
			q.system--
		}
	}
	copy(q.entries[q.first+1:i+1], q.entries[q.first:i])
	q.entries[q.first] = entry{}
	q.first++
	if q.first == len(q.entries) {
		q.entries, q.first = q.entries[:0], 0
	}
	return e, true
}

func isSystem(request Event) bool {
	switch request.(type) {
	case Suspend, Resume:
		return true
	default:
		return false
	}
}

// tag is the request's, for its Reply.
func tag(request Event) uint64 {
	switch r := request.(type) {
	case StartChild:
		return r.Tag
	case TerminateChild:
		return r.Tag
	case RestartChild:
		return r.Tag
	case DeleteChild:
		return r.Tag
	case CycleChild:
		return r.Tag
	case WhichChildren:
		return r.Tag
	case CountChildren:
		return r.Tag
	case GetChildspec:
		return r.Tag
	case Reload:
		return r.Tag
	case Suspend:
		return r.Tag
	case Resume:
		return r.Tag
	default:
		return 0
	}
}
