package journal

import (
	"context"
	"io"
	"slices"
	"sync"
)

// Store is the root's memory: the state of the whole tree, and the last
// records that led there. One writer appends; any number of readers look and
// follow at the same time. The zero Store is empty and ready.
type Store struct {
	mu      sync.Mutex
	fold    Fold
	ring    ring
	closed  bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// longestText bounds a record's free text, in bytes.
const longestText = 4096

// Append gives the record the next number, folds it in and wakes the readers.
// Time, Event and Path are the caller's to fill in. The exit of a supervisor is
// the end of all that lived below it, which nobody else can tell any more: what
// the fold still holds to be alive there is told first, as killed and down.
func (s *Store) Append(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Event == Exit {
		for _, life := range slices.Collect(s.fold.Live(r.Path)) {
			s.add(&Record{Time: r.Time, Event: Exit, Path: life.Path, Kind: life.Kind, Pid: life.Pid,
				Incarnation: life.Incarnation, Reason: "killed", Signal: "KILL", Message: "its supervisor's process ended"})
			s.add(&Record{Time: r.Time, Event: Down, Path: life.Path, Incarnation: life.Incarnation})
		}
	}
	s.add(&r)
	s.wake()
}

func (s *Store) add(r *Record) {
	r.Error, r.Message = cut(r.Error), cut(r.Message)
	r.Seq = s.ring.next()
	s.fold.Apply(r)
	s.ring.push(r)
}

// cut shortens a text to its bound.
func cut(text string) string {
	if len(text) > longestText {
		return text[:longestText-3] + "..."
	}
	return text
}

func (s *Store) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Close says that nothing more will come: whoever follows gets the end.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// View lets look see the fold while nothing changes. It must be quick, and
// keep nothing of the fold.
func (s *Store) View(look func(*Fold)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look(&s.fold)
}

// Status is the state of the node at a path with all that is below it; nil if
// there is none.
func (s *Store) Status(at string) (n *Node) {
	s.View(func(f *Fold) { n = f.Status(at) })
	return n
}

// Last is the number of the newest record; 0 means that there is none.
func (s *Store) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.last
}

// Await waits until holds is true of the fold. It ends early with the context's
// error, or with io.EOF where the tree has ended and it will never hold.
func (s *Store) Await(ctx context.Context, holds func(*Fold) bool) error {
	for {
		over := ctx.Err() // looked at before the state, so that what came first counts
		s.mu.Lock()
		if holds(&s.fold) {
			s.mu.Unlock()
			return nil
		}
		closed, changed := s.closed, s.wait()
		s.mu.Unlock()
		switch {
		case closed:
			return io.EOF
		case over != nil:
			return over
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// Read copies records after since, as lines of JSON, onto the end of buf: as
// many as there are, but little more than 64 KiB at a time. It returns the
// number to go on from. If records after since are gone already, a Lost
// record comes first. No new lines and the same number back means that there
// is nothing newer yet.
func (s *Store) Read(since uint64, buf []byte) (lines []byte, next uint64) {
	s.mu.Lock()
	now := s.ring.snapshot()
	s.mu.Unlock()
	return now.read(since, buf)
}

// Follow waits until there is a record after since. It ends early with the
// context's error, or with io.EOF where there will never be one.
func (s *Store) Follow(ctx context.Context, since uint64) error {
	return s.Await(ctx, func(*Fold) bool { return s.ring.last > since })
}

// wait returns what is closed at the next change.
func (s *Store) wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
