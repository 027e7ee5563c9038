package proc

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// stats counts what a server does.
type stats struct {
	in, begun, expired, failed atomic.Uint64

	times [64]atomic.Uint64 // handlers by the position of the highest bit of their time in ns
}

func (s *stats) handled(each time.Duration, n uint64) {
	s.times[bits.Len64(uint64(max(each, 0)))%64].Add(n)
}

// quantile is a time that this part of the handlers did not exceed, to within
// a factor of 2.
func (s *stats) quantile(q float64, n uint64) time.Duration {
	want, sum := uint64(q*float64(n)), uint64(0)
	for i := range s.times {
		if sum += s.times[i].Load(); sum > want {
			return time.Duration(1) << i
		}
	}
	return 0
}

// Statistics is the answer to $sys.statistics. Times are in seconds, and exact
// to within a factor of 2. Casts of one method that follow each other at once may
// be timed up to 16 together, each of them with the mean.
type Statistics struct {
	In      uint64  `json:"in"`      // calls and casts that came
	Handled uint64  `json:"handled"` // begun; the one that runs too
	Expired uint64  `json:"expired"` // whose caller's time was over when their turn came: handled, or dropped (DropExpired)
	Failed  uint64  `json:"failed"`  // casts whose handlers returned an error
	Dropped uint64  `json:"dropped"` // casts and calls for which the mailbox was full
	Mailbox int     `json:"mailbox"` // items that wait
	Bytes   int     `json:"bytes"`   // of them
	P50     float64 `json:"p50"`     // of handlers
	P99     float64 `json:"p99"`
}

func (s *Server) statistics() Statistics {
	st := Statistics{In: s.stats.in.Load(), Handled: s.stats.begun.Load(), Expired: s.stats.expired.Load(), Failed: s.stats.failed.Load()}
	st.Mailbox, st.Bytes, st.Dropped = s.box.waiting()
	var timed uint64
	for i := range s.stats.times {
		timed += s.stats.times[i].Load()
	}
	st.P50, st.P99 = s.stats.quantile(0.5, timed).Seconds(), s.stats.quantile(0.99, timed).Seconds()
	return st
}
