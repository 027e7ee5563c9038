package journal

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// On the links between nodes records travel in a form of their own: a thousand
// children that boot or stop below a node are thousands of records, and JSON takes
// many times as long to read. Both ends are the same program.
//
// A record is all its fields in a fixed order: numbers as varints, strings behind
// their length, and before a field that may be absent a 0 or a 1.

// leastRecord is the fewest bytes that a record takes: a byte for each field.
const leastRecord = 25

var errWire = errors.New("reading records of another node: they are not whole")

// AppendRecords writes records after b.
func AppendRecords(b []byte, records []Record) []byte {
	w := wire{b: binary.AppendUvarint(b, uint64(len(records)))}
	for i := range records {
		r := records[i]
		w.record(&r)
	}
	return w.b
}

// ReadRecords reads what AppendRecords wrote. Anything else is an error, and
// takes memory in proportion to its length at most.
func ReadRecords(b []byte) ([]Record, error) {
	w := wire{b: b, reading: true}
	var count uint64
	w.unsigned(&count)
	if w.failed || count > uint64(len(w.b)/leastRecord) {
		return nil, errWire
	}
	records := make([]Record, count)
	for i := range records {
		w.record(&records[i])
	}
	if w.failed || len(w.b) > 0 {
		return nil, errWire
	}
	return records, nil
}

// wire writes fields behind b, or reads them from its beginning.
type wire struct {
	b       []byte
	reading bool
	failed  bool // what was read is not whole; all that follows is zero
}

// record is the order of the fields, for both ways.
func (w *wire) record(r *Record) {
	w.unsigned(&r.Seq)
	w.time(&r.Time)
	for _, s := range [...]*string{
		&r.Event, &r.Path, &r.Kind, &r.Reason, &r.Signal, &r.Cause, &r.Context, &r.Child, &r.Error, &r.Message,
		&r.Name, &r.Restart, &r.Strategy, &r.Containment,
	} {
		w.text(s)
	}
	w.int(&r.Pid)
	w.unsigned(&r.Incarnation)
	if optional(w, &r.Status) {
		w.int(r.Status)
	}
	if optional(w, &r.Delay) {
		bits := math.Float64bits(*r.Delay)
		w.unsigned(&bits)
		*r.Delay = math.Float64frombits(bits)
	}
	if optional(w, &r.Intensity) {
		w.signed(r.Intensity)
	}
	w.signed(&r.Period)
	w.int(&r.Restarts)
	w.int(&r.Count)
	w.pids(&r.Pids)
	w.unsigned(&r.From)
	w.unsigned(&r.To)
}

// optional says whether a field follows, and makes room to read it into.
func optional[T any](w *wire, field **T) bool {
	var present uint64
	if *field != nil {
		present = 1
	}
	w.unsigned(&present)
	if w.reading && present == 1 {
		*field = new(T)
	}
	return present == 1
}

func (w *wire) unsigned(n *uint64) {
	if !w.reading {
		w.b = binary.AppendUvarint(w.b, *n)
		return
	}
	v, size := binary.Uvarint(w.b)
	if size <= 0 {
		w.failed, w.b, v, size = true, nil, 0, 0
	}
	*n, w.b = v, w.b[size:]
}

func (w *wire) signed(n *int64) {
	folded := uint64(*n)<<1 ^ uint64(*n>>63) // small for small numbers of either sign
	w.unsigned(&folded)
	*n = int64(folded>>1) ^ -int64(folded&1)
}

func (w *wire) int(n *int) {
	wide := int64(*n)
	w.signed(&wide)
	*n = int(wide)
}

func (w *wire) text(s *string) {
	size := uint64(len(*s))
	w.unsigned(&size)
	switch {
	case !w.reading:
		w.b = append(w.b, *s...)
	case size > uint64(len(w.b)):
		w.failed, w.b = true, nil
	default:
		*s, w.b = string(w.b[:size]), w.b[size:]
	}
}

// time is never the first nanosecond of 1970, which stands for none.
func (w *wire) time(t *time.Time) {
	var nanoseconds int64
	if !t.IsZero() {
		nanoseconds = t.UnixNano()
	}
	w.signed(&nanoseconds)
	if w.reading && nanoseconds != 0 {
		*t = time.Unix(0, nanoseconds).UTC()
	}
}

func (w *wire) pids(pids *[]int) {
	count := uint64(len(*pids))
	w.unsigned(&count)
	if w.reading {
		if count > uint64(len(w.b)) { // each takes a byte
			w.failed, w.b, count = true, nil, 0
		}
		if count > 0 {
			*pids = make([]int, count)
		}
	}
	for i := range *pids {
		w.int(&(*pids)[i])
	}
}
