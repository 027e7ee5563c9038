package proc

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// A reader looks again and again while that finds something. Once it has not, it
// asks for ever more proof that it would.
func TestAReaderSpinsWhileItPays(t *testing.T) {
	var s spin
	now := time.Now()
	shortWaits := func() (n int) {
		for ; !s.on && n < 2*spinCaution; n++ {
			s.waited(now, waitShort)
		}
		return n
	}
	if s.waited(now, time.Second); s.on {
		t.Error("it spins after a long wait")
	}
	if n := shortWaits(); n != 1 {
		t.Errorf("at first it spins after %d short waits, want 1", n)
	}
	if s.found(now, spinQuick); !s.on {
		t.Error("it does not go on spinning although it has found something")
	}
	for _, want := range []int{2, 4, 8} {
		s.missed(now, spinMost)
		s.waited(now, waitShort)
		if s.waited(now, time.Second); s.on {
			t.Errorf("it spins after a short and a long wait")
		}
		if n := shortWaits(); n != want {
			t.Errorf("after another spin in vain it spins after %d short waits, want %d", n, want)
		}
	}
	for range 6 {
		s.found(now, spinQuick)
	}
	s.missed(now, spinMost)
	if n := shortWaits(); n != 4 {
		t.Errorf("after six spins that found something and one in vain it spins after %d short waits, want 4", n)
	}
	for range 20 {
		s.missed(now, spinMost)
	}
	if n := shortWaits(); n != spinCaution {
		t.Errorf("it asks for %d short waits, want no more than %d", n, spinCaution)
	}
}

// What comes late is not worth looking for all the time, but often means that
// the other end has had to be woken once more.
func TestAReaderForgivesSomeLateAnswers(t *testing.T) {
	s, now := spin{on: true}, time.Now()
	for range 3 {
		for range spinLate {
			s.found(now, spinMost)
		}
		if s.found(now, spinQuick); !s.on {
			t.Fatalf("it stopped spinning after %d late answers", spinLate)
		}
	}
	for range spinLate + 1 {
		s.found(now, spinMost)
	}
	if s.on {
		t.Errorf("it spins on after %d late answers in a row", spinLate+1)
	}
}

// Where another program wants the core, a reader waits for a while as if it had
// never spun, whether the spin that lost it found something or not.
func TestAReaderThatLosesItsCoreRests(t *testing.T) {
	lost := spinLost + 1
	for _, lose := range []func(*spin, time.Time){
		func(s *spin, now time.Time) { s.missed(now, lost) },
		func(s *spin, now time.Time) { s.found(now, lost) },
	} {
		s, now := spin{on: true}, time.Now()
		lose(&s, now)
		for range 2 * spinCaution {
			s.waited(now.Add(spinRest-1), waitShort)
		}
		if s.on {
			t.Error("it spins before it has rested")
		}
		for range 2 {
			s.waited(now.Add(spinRest), waitShort)
		}
		if !s.on {
			t.Error("it does not spin after its rest")
		}
	}
}

func newSource(t *testing.T) (s *source, r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	s, ok := readerOf(r).(*source)
	if !ok {
		t.Fatal("a pipe that does not block is no source")
	}
	return s, r, w
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Error(err)
	}
}

func expect(t *testing.T, s *source, want string) {
	t.Helper()
	b := make([]byte, 16)
	n, err := s.Read(b)
	if string(b[:n]) != want || err != nil {
		t.Errorf("read %q, %v; want %q", b[:n], err, want)
	}
}

// What is in the pipe comes out of it, whether it is there, comes while the
// reader spins, or after that; then the end.
func TestASourceIsThePipe(t *testing.T) {
	s, _, w := newSource(t)
	write(t, w, "there")
	expect(t, s, "there")
	for range 100 {
		s.spin.on = true
		go write(t, w, "comes")
		expect(t, s, "comes")
	}
	s.spin.on = false
	go write(t, w, "late")
	expect(t, s, "late")
	w.Close()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end it read %d bytes, %v", n, err)
	}
}

// A spin ends: with what has come, or in vain.
func TestASpinEnds(t *testing.T) {
	s, _, w := newSource(t)
	var found bool
	spin := func() {
		s.spin.on, s.b = true, make([]byte, 16)
		if err := s.raw.Read(func(fd uintptr) bool { found = s.keepLooking(fd, time.Now(), true); return true }); err != nil {
			t.Fatal(err)
		}
	}
	if spin(); found || s.spin.on {
		t.Errorf("in an empty pipe it found something (%v), or means to spin again (%v)", found, s.spin.on)
	}
	write(t, w, "here")
	if spin(); !found || string(s.b[:s.n]) != "here" {
		t.Errorf("it found %q, %v", s.b[:s.n], found)
	}
}

// Who closes the pipe ends the wait of its reader.
func TestAReaderHearsOfClose(t *testing.T) {
	s, r, _ := newSource(t)
	s.spin.on = true
	ended := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}()
	r.Close()
	if err := <-ended; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading a closed pipe: %v", err)
	}
}

// A pipe that blocks is read as it always was: to look at it again would hold up
// everybody.
func TestAPipeThatBlocksIsNoSource(t *testing.T) {
	_, r, _ := newSource(t)
	r.Fd() // makes it block
	if _, ok := readerOf(r).(*source); ok {
		t.Error("it is a source")
	}
}
