// Package ipc carries calls, casts and replies over a pair of pipes.
package ipc

import "encoding/binary"

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

// The bounds of a frame, in bytes.
const (
	HeaderSize = 32
	MaxExt     = 4096
	MaxPayload = 65536
	minLength  = HeaderSize - 4
	maxLength  = minLength + MaxExt + MaxPayload
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
