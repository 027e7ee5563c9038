// Package output carries what children print: whole lines, from every child's
// pipes to supervise's own standard output and error, with the path in front,
// and keeps the last ones of each child.
package output

import (
	"encoding/binary"
	"errors"
	"time"
)

// Stream says which of a child's streams a line came from.
type Stream uint8

// The streams, by their descriptors in the child.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Batch is whole lines that one child printed on one stream. Lines holds them
// as they came, each with its newline; whoever is handed a Batch may use it
// only until he returns.
type Batch struct {
	Path   string
	Stream Stream
	Lines  []byte
}

// MarshalBinary writes the stream, the path's length in two bytes, the path
// and the lines.
func (b Batch) MarshalBinary() ([]byte, error) {
	if len(b.Path) > 0xffff {
		return nil, errors.New("writing a batch of lines: its path is too long")
	}
	out := make([]byte, 0, 3+len(b.Path)+len(b.Lines))
	out = append(out, byte(b.Stream))
	out = binary.BigEndian.AppendUint16(out, uint16(len(b.Path)))
	out = append(out, b.Path...)
	return append(out, b.Lines...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote. Lines shares data's memory.
func (b *Batch) UnmarshalBinary(data []byte) error {
	if len(data) < 3 || data[0] != byte(Stdout) && data[0] != byte(Stderr) {
		return errors.New("reading a batch of lines: no stream and path")
	}
	n := int(binary.BigEndian.Uint16(data[1:]))
	if len(data) < 3+n {
		return errors.New("reading a batch of lines: the path is cut short")
	}
	b.Stream, b.Path, b.Lines = Stream(data[0]), string(data[3:3+n]), data[3+n:]
	return nil
}

// Line is one of the last lines of a child.
type Line struct {
	At          time.Time `json:"at"`                    // when it was read, UTC
	Stream      Stream    `json:"stream"`                // 1 stdout, 2 stderr
	Incarnation uint64    `json:"incarnation,omitempty"` // the life that printed it
	Text        string    `json:"text"`                  // without its newline; a long line is cut
}
