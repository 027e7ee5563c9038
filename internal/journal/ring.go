package journal

import (
	"encoding/binary"
	"slices"
)

// The bounds of what is kept for readers: so many records, in so many bytes.
const (
	MaxRecords = 16384
	MaxBytes   = 2 << 20
	pieceSize  = 16 << 10
	readSize   = 64 << 10 // as lines of JSON
)

// sizeBytes are before each record of a piece: its size.
const sizeBytes = 4

// ring keeps the newest records, in the form of the links, which takes half of
// what their lines of JSON would. They stand in pieces that are dropped whole,
// oldest first. An idle tree costs a piece or two.
type ring struct {
	pieces []piece
	bytes  int
	last   uint64 // the newest number
}

// piece is some records in a row.
type piece struct {
	first   uint64
	records []byte
}

func (g *ring) next() uint64 { return g.last + 1 }

// push takes a record that has the next number.
func (g *ring) push(r *Record) {
	if n := len(g.pieces); n == 0 || len(g.pieces[n-1].records) > pieceSize-512 {
		g.pieces = append(g.pieces, piece{first: r.Seq, records: make([]byte, 0, pieceSize)})
	}
	g.bytes += g.pieces[len(g.pieces)-1].push(r)
	g.last = r.Seq
	for len(g.pieces) > 1 && (g.bytes > MaxBytes || g.last-g.pieces[0].first >= MaxRecords) {
		g.bytes -= len(g.pieces[0].records)
		g.pieces[0] = piece{}
		g.pieces = g.pieces[1:]
	}
}

// push adds a record and says how many bytes it takes.
func (p *piece) push(r *Record) int {
	at := len(p.records)
	w := wire{b: append(p.records, make([]byte, sizeBytes)...)}
	w.record(r)
	size := len(w.b) - at
	binary.NativeEndian.PutUint32(w.b[at:], uint32(size-sizeBytes))
	p.records = w.b
	return size
}

// snapshot is the ring as it is now, for a reader: what stands in a piece never
// changes, so that only the list of pieces is copied.
func (g *ring) snapshot() ring {
	return ring{pieces: slices.Clone(g.pieces), bytes: g.bytes, last: g.last}
}

// read is Store.Read.
func (g *ring) read(since uint64, buf []byte) ([]byte, uint64) {
	if since >= g.last {
		return buf, since
	}
	if oldest := g.pieces[0].first; since+1 < oldest {
		lost := Record{Event: Lost, From: since + 1, To: oldest - 1}
		buf = lost.Append(buf)
		since = oldest - 1
	}
	full := len(buf) + readSize
	for i := range g.pieces {
		if i+1 < len(g.pieces) && g.pieces[i+1].first <= since+1 {
			continue // it is all older
		}
		buf, since = g.pieces[i].print(since, buf, full)
	}
	return buf, since
}

// print writes the records after since as lines of JSON behind buf, until that
// is full, and returns the number of the last one.
func (p *piece) print(since uint64, buf []byte, full int) ([]byte, uint64) {
	rest := p.records
	for at := p.first; len(rest) > 0 && len(buf) < full; at++ {
		end := sizeBytes + int(binary.NativeEndian.Uint32(rest))
		if at > since {
			var r Record
			w := wire{b: rest[sizeBytes:end], reading: true}
			w.record(&r)
			buf, since = r.Append(buf), at
		}
		rest = rest[end:]
	}
	return buf, since
}
