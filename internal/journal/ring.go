package journal

import "bytes"

// The bounds of what is kept for readers: so many records, in so many bytes.
const (
	MaxRecords = 16384
	MaxBytes   = 2 << 20
	pieceSize  = 16 << 10
	readSize   = 64 << 10
)

// ring keeps the newest records as lines of JSON, in pieces that are dropped
// whole, oldest first. An idle tree costs a piece or two.
type ring struct {
	pieces []piece
	bytes  int
	last   uint64 // the newest number
}

// piece is some records in a row.
type piece struct {
	first uint64
	lines []byte
}

func (g *ring) next() uint64 { return g.last + 1 }

// push takes a record that has the next number.
func (g *ring) push(r *Record) {
	if n := len(g.pieces); n == 0 || len(g.pieces[n-1].lines) > pieceSize-512 {
		g.pieces = append(g.pieces, piece{first: r.Seq, lines: make([]byte, 0, pieceSize)})
	}
	p := &g.pieces[len(g.pieces)-1]
	before := len(p.lines)
	p.lines = r.Append(p.lines)
	g.bytes += len(p.lines) - before
	g.last = r.Seq
	for len(g.pieces) > 1 && (g.bytes > MaxBytes || g.last-g.pieces[0].first >= MaxRecords) {
		g.bytes -= len(g.pieces[0].lines)
		g.pieces[0] = piece{}
		g.pieces = g.pieces[1:]
	}
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
	for i, p := range g.pieces {
		end := g.last
		if i+1 < len(g.pieces) {
			end = g.pieces[i+1].first - 1
		}
		if end <= since {
			continue
		}
		buf = append(buf, skip(p.lines, since+1-p.first)...)
		since = end
		if len(buf) >= full {
			break
		}
	}
	return buf, since
}

// skip leaves out the first n lines.
func skip(lines []byte, n uint64) []byte {
	for range n {
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	return lines
}
