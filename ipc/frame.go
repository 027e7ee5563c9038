// Package ipc carries calls, casts and replies over a pair of pipes.
package ipc

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Type is what a frame is. The set is closed in protocol 1.
type Type uint8

// The frame types.
const (
	Call   Type = 1
	Cast   Type = 2
	Reply  Type = 3
	Error  Type = 4
	Cancel Type = 5
)

// Flags: bits 0 to 3 name the payload's codec.
const (
	CodecMask  uint8 = 0x0f
	CodecNone  uint8 = 0
	CodecJSON  uint8 = 1
	CodecCBOR  uint8 = 2
	CodecRaw   uint8 = 3
	More       uint8 = 1 << 4 // another piece of the same message follows
	About      uint8 = 1 << 5 // for the supervisor of dst, about dst
	flagsValid uint8 = CodecMask | More | About
)

// Private is the codec of two programs that agree among themselves.
const CodecPrivate uint8 = 15

// The bounds of a frame, in bytes.
const (
	HeaderSize = 32
	MaxExt     = 4096
	MaxPayload = 65536
	sizeLength = 4 // of the length itself
	minLength  = HeaderSize - sizeLength
	maxLength  = minLength + MaxExt + MaxPayload
)

// DefaultMessage and MaxMessage bound a message of one or more pieces: what is
// taken when nobody says otherwise, and what may be configured, in bytes.
const (
	DefaultMessage = 1 << 20
	MaxMessage     = 16 << 20
)

// Addr is the address of one life: its node's number in the high 32 bits, its
// serial there in the low 32. 0 is whoever is at the other end.
type Addr uint64

// Header is the fixed part of every frame, big-endian on the wire.
type Header struct {
	Length uint32 // of what follows the length itself
	Type   Type
	Flags  uint8
	Ext    uint16 // bytes of extension fields
	ID     uint64
	Dst    Addr
	Src    Addr
}

// Put writes h into b, which holds at least HeaderSize bytes.
func (h *Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	binary.BigEndian.PutUint32(b, h.Length)
	b[4], b[5] = byte(h.Type), h.Flags
	binary.BigEndian.PutUint16(b[6:], h.Ext)
	binary.BigEndian.PutUint64(b[8:], h.ID)
	binary.BigEndian.PutUint64(b[16:], uint64(h.Dst))
	binary.BigEndian.PutUint64(b[24:], uint64(h.Src))
}

// Frame is one frame: its header and the two parts that follow. A frame that
// came from a reader points into the reader's memory.
type Frame struct {
	Header
	Fields  []byte // extension fields, see ParseFields
	Payload []byte
}

// Size is the number of bytes that f takes on the wire.
func (f *Frame) Size() int { return HeaderSize + len(f.Fields) + len(f.Payload) }

// Append writes f to the end of b. Length and Ext are computed, whatever
// stands in f.
func (f *Frame) Append(b []byte) []byte {
	n, size := len(b), f.Size()
	b = slices.Grow(b, size)[:n+size]
	at := b[n:]
	binary.BigEndian.PutUint32(at, uint32(size-4))
	at[4], at[5] = byte(f.Type), f.Flags
	binary.BigEndian.PutUint16(at[6:], uint16(len(f.Fields)))
	binary.BigEndian.PutUint64(at[8:], f.ID)
	binary.BigEndian.PutUint64(at[16:], uint64(f.Dst))
	binary.BigEndian.PutUint64(at[24:], uint64(f.Src))
	copy(at[HeaderSize:], f.Fields)
	copy(at[HeaderSize+len(f.Fields):], f.Payload)
	return b
}

// Malformed is what a peer sent that is no frame and no line. Nothing after
// it can be understood, so the link ends there.
type Malformed struct {
	Why  string
	Head []byte // the first 64 bytes of it, for the log
}

func (m *Malformed) Error() string {
	return fmt.Sprintf("protocol: %s", m.Why)
}

func malformed(at []byte, format string, a ...any) error {
	head := append([]byte(nil), at[:min(len(at), 64)]...)
	return &Malformed{Why: fmt.Sprintf(format, a...), Head: head}
}

// Next reads the frame at the start of b and returns how many bytes it takes;
// n is 0 while b holds only a part of it. The frame points into b. What is
// wrong is found as early as it can be: a bad length is known after 4 bytes.
func Next(b []byte) (f Frame, n int, err error) {
	if n, err = f.parse(b); n == 0 {
		return Frame{}, 0, err
	}
	return f, n, nil
}

// parse is Next into memory that is there. Unless n > 0, f is of no use.
func (f *Frame) parse(b []byte) (n int, err error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := binary.BigEndian.Uint32(b)
	if length < minLength || length > maxLength {
		return 0, malformed(b, "length %d is not in %d to %d", length, minLength, maxLength)
	}
	if len(b) < HeaderSize {
		return 0, nil
	}
	f.Header = Header{
		Length: length, Type: Type(b[4]), Flags: b[5], Ext: binary.BigEndian.Uint16(b[6:]),
		ID: binary.BigEndian.Uint64(b[8:]), Dst: Addr(binary.BigEndian.Uint64(b[16:])), Src: Addr(binary.BigEndian.Uint64(b[24:])),
	}
	payload := int(length) - minLength - int(f.Ext)
	switch {
	case f.Type < Call || f.Type > Cancel:
		return 0, malformed(b, "frame type %d is none of 1 to 5", f.Type)
	case f.Flags&^flagsValid != 0:
		return 0, malformed(b, "flags %#02x have bits 6 or 7 set", f.Flags)
	case f.Ext > MaxExt || payload < 0:
		return 0, malformed(b, "%d bytes of extension fields in a frame of length %d", f.Ext, length)
	case payload > MaxPayload:
		return 0, malformed(b, "a payload of %d bytes, over %d", payload, MaxPayload)
	}
	n = int(length) + 4
	if len(b) < n {
		return 0, nil
	}
	ext := HeaderSize + int(f.Ext)
	f.Fields, f.Payload = b[HeaderSize:ext:ext], b[ext:n:n]
	return n, nil
}
