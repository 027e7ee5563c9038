package ipc

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// The tags of extension fields. An unknown tag is skipped below tagRefused
// and refused with bad_request from there on.
const (
	tagMethod      = 1
	tagTo          = 2
	tagLeft        = 3
	tagTraceparent = 4
	tagTracestate  = 5
	tagTotal       = 6
	tagManage      = 7
	tagRefused     = 0x80
)

// The bounds of extension fields, in bytes.
const (
	MaxMethod      = 255
	MaxTracestate  = 512
	sizeLeft       = 8
	sizeTotal      = 8
	sizeTrace      = 25 // 16 of the trace, 8 of the span, 1 of flags
	sizeFieldsHead = 3  // a tag and a length
)

// Fields are a frame's extension fields. Byte slices of parsed fields point
// into what was parsed; a field that is not there is nil or zero.
type Fields struct {
	Method      []byte
	To          []byte        // a name, a /path or group:g
	Left        time.Duration // time left, whole µs on the wire; 0: no limit. What has run out travels as 1 µs
	Traceparent []byte        // 25 bytes
	Tracestate  []byte
	Total       uint64 // size of the whole message, in the first of several pieces
	Manage      bool   // the sender may change other workers; nodes write it, and only they
	Refused     uint8  // the first unknown tag from 0x80 up: answered with bad_request
}

// ParseFields reads the extension fields of a frame. It allocates nothing
// unless they are malformed.
func ParseFields(b []byte) (f Fields, err error) {
	all, last := b, 0
	for len(b) > 0 {
		if len(b) < sizeFieldsHead {
			return Fields{}, malformed(all, "%d bytes after the last extension field", len(b))
		}
		tag, size := b[0], int(binary.BigEndian.Uint16(b[1:]))
		b = b[sizeFieldsHead:]
		if size > len(b) {
			return Fields{}, malformed(all, "extension field %d has %d bytes, of which %d are there", tag, size, len(b))
		}
		if int(tag) <= last {
			return Fields{}, malformed(all, "extension field %d follows field %d", tag, last)
		}
		last = int(tag)
		if why := f.set(tag, b[:size:size]); why != "" {
			return Fields{}, malformed(all, "extension field %d: %s", tag, why)
		}
		b = b[size:]
	}
	return f, nil
}

// set takes one field; why is not empty if its value cannot be.
func (f *Fields) set(tag uint8, v []byte) (why string) {
	size := func(ok bool) string {
		if ok {
			return ""
		}
		return fmt.Sprintf("%d bytes are too few or too many", len(v))
	}
	switch tag {
	case tagMethod:
		f.Method = v
		return size(len(v) >= 1 && len(v) <= MaxMethod)
	case tagTo:
		f.To = v
		return size(len(v) >= 1)
	case tagLeft:
		if len(v) != sizeLeft {
			return size(false)
		}
		us := min(binary.BigEndian.Uint64(v), uint64(1<<63-1)/uint64(time.Microsecond))
		f.Left = max(time.Duration(us)*time.Microsecond, time.Microsecond)
	case tagTraceparent:
		f.Traceparent = v
		return size(len(v) == sizeTrace)
	case tagTracestate:
		f.Tracestate = v
		return size(len(v) <= MaxTracestate)
	case tagTotal:
		if len(v) != sizeTotal {
			return size(false)
		}
		f.Total = binary.BigEndian.Uint64(v)
	case tagManage:
		f.Manage = true
		return size(len(v) == 0)
	default:
		if tag >= tagRefused && f.Refused == 0 {
			f.Refused = tag
		}
	}
	return ""
}

// Append writes the fields that are set to the end of b, in ascending order.
// Refused is not written.
func (f *Fields) Append(b []byte) []byte {
	b = appendField(b, tagMethod, f.Method)
	b = appendField(b, tagTo, f.To)
	if f.Left > 0 {
		b = append(b, tagLeft, 0, sizeLeft)
		b = binary.BigEndian.AppendUint64(b, uint64(max(f.Left/time.Microsecond, 1)))
	}
	b = appendField(b, tagTraceparent, f.Traceparent)
	b = appendField(b, tagTracestate, f.Tracestate)
	if f.Total > 0 {
		b = append(b, tagTotal, 0, sizeTotal)
		b = binary.BigEndian.AppendUint64(b, f.Total)
	}
	if f.Manage {
		b = append(b, tagManage, 0, 0)
	}
	return b
}

// withManage is a copy of well-formed extension fields, with Manage among
// them; as they are, if there is no room.
func withManage(fields []byte) []byte {
	if len(fields)+sizeFieldsHead > MaxExt {
		return fields
	}
	at := 0
	for at < len(fields) && fields[at] < tagManage {
		at += sizeFieldsHead + int(binary.BigEndian.Uint16(fields[at+1:]))
	}
	return slices.Concat(fields[:at], []byte{tagManage, 0, 0}, fields[at:])
}

// fieldSize is how many bytes appendField writes for a value of n.
func fieldSize(n int) int {
	if n == 0 {
		return 0
	}
	return sizeFieldsHead + n
}

func appendField[T string | []byte](b []byte, tag uint8, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = append(b, tag, byte(len(v)>>8), byte(len(v)))
	return append(b, v...)
}
