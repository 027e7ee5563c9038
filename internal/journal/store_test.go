package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// records reads everything after since, as a program would.
func records(t *testing.T, s *Store, since uint64) (all []Record) {
	t.Helper()
	for {
		lines, next := s.Read(since, nil)
		if next == since {
			return all
		}
		for line := range bytes.Lines(lines) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			all = append(all, r)
		}
		since = next
	}
}

func TestNumbersHaveNoGaps(t *testing.T) {
	s := sample(t)
	for i, r := range records(t, s, 0) {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has number %d", i+1, r.Seq)
		}
	}
	if got := records(t, s, 5); got[0].Seq != 6 || got[len(got)-1].Seq != s.Last() {
		t.Errorf("after 5 comes %d to %d, want 6 to %d", got[0].Seq, got[len(got)-1].Seq, s.Last())
	}
	if got := records(t, s, 1000); got != nil {
		t.Errorf("the future holds %v", got)
	}
}

func TestWhoFallsBehindIsTold(t *testing.T) {
	s := sample(t)
	const many = 3 * MaxRecords
	for range many {
		say(s, Record{Event: Status, Path: "/web/db", Message: "busy"})
	}
	got := records(t, s, 2)
	lost := got[0]
	if lost.Event != Lost || lost.From != 3 || lost.Seq != 0 || got[1].Seq != lost.To+1 || got[len(got)-1].Seq != s.Last() {
		t.Errorf("first %+v, then %+v, last %d of %d", lost, got[1], got[len(got)-1].Seq, s.Last())
	}
	if kept := len(got) - 1; kept > MaxRecords || kept < MaxRecords/2 {
		t.Errorf("%d records are kept, of %d", kept, MaxRecords)
	}
	lines, _ := s.Read(0, nil)
	if first, _, _ := strings.Cut(string(lines), "\n"); !strings.HasPrefix(first, `{"event":"lost","from":1,"to":`) {
		t.Errorf("lost reads %s", first)
	}
}

func TestTheRingIsBoundedInBytes(t *testing.T) {
	s := sample(t)
	for range 3000 {
		say(s, Record{Event: Warning, Path: "/", Message: strings.Repeat("x", 2*longestText)})
	}
	if s.ring.bytes > MaxBytes {
		t.Errorf("%d bytes are kept, more than %d", s.ring.bytes, MaxBytes)
	}
}

func TestARecordReadsAsEncodingJSONWritesIt(t *testing.T) {
	status, limit, delay := 0, int64(0), 0.05
	for _, r := range []Record{
		{},
		{Event: Lost, From: 1, To: 2},
		{Seq: 7, Time: noon, Event: Exit, Path: "/a", Kind: "worker", Pid: 12, Incarnation: 3, Reason: "normal", Status: &status},
		{Seq: 8, Time: noon, Event: Report, Path: "/", Signal: "KILL", Delay: &delay, Intensity: &limit, Period: 5, Restarts: 2,
			Context: "start_error", Child: "a", Count: 3, Error: "exec \"x\": <no> é \x00", Pids: []int{1, 2}, Message: "why\n",
			Name: "n", Restart: "once", Strategy: "one_for_all", Containment: "basic"},
	} {
		wanted, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Append(nil); string(got) != string(wanted)+"\n" {
			t.Errorf("got  %swant %s", got, wanted)
		}
	}
}

func TestOneWriterManyReaders(t *testing.T) {
	s := &Store{}
	const total = 5000
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var since, seen uint64
			for {
				lines, next := s.Read(since, nil)
				seen += uint64(bytes.Count(lines, []byte{'\n'}))
				since = next
				err := s.Follow(t.Context(), since)
				if errors.Is(err, io.EOF) {
					break
				}
			}
			if seen != total {
				t.Errorf("a reader saw %d of %d records", seen, total)
			}
		})
	}
	for i := range total {
		say(s, Record{Event: Add, Path: fmt.Sprintf("/w%d", i%100), Kind: "worker"})
	}
	s.Close()
	readers.Wait()
}

func TestAwaitEndsWhenItIsTrueOrNeverWillBe(t *testing.T) {
	s := sample(t)
	running := func(at string) func(*Fold) bool {
		return func(f *Fold) bool { _, state, _ := f.State(at); return state == StateRunning }
	}
	if err := s.Await(t.Context(), running("/web/db")); err != nil {
		t.Error(err)
	}
	result := make(chan error)
	go func() { result <- s.Await(t.Context(), running("/late")) }()
	say(s, Record{Event: Start, Path: "/late", Kind: "worker", Pid: 77, Incarnation: 1})
	if err := <-result; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Await(ctx, running("/never")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Await(ctx, running("/late")); err != nil {
		t.Errorf("what is true already: %v", err)
	}
	go func() { result <- s.Await(t.Context(), running("/never")) }()
	s.Close()
	if err := <-result; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := &Store{}
	r := Record{Time: noon, Event: Start, Path: "/web/api", Kind: "worker", Pid: 4711, Incarnation: 3}
	b.ReportAllocs()
	for b.Loop() {
		s.Append(r)
	}
}
