package proc

import (
	"encoding/json"
	"fmt"

	"github.com/supertrees/supervise/ipc"
)

// None is a request or a reply without content.
type None = struct{}

// Raw is a payload that goes as it is.
type Raw []byte

// Payload is a type of requests and replies that knows itself how it goes
// over the wire: T is one if *T implements this. Those of package proc/cbor are.
// codec is a number of the protocol (ipc.CodecCBOR, …).
type Payload interface {
	// EncodePayload is the value as it goes. asked is the codec of the request
	// that it answers; ipc.CodecNone if that had no payload, or if it answers none.
	EncodePayload(asked uint8) (codec uint8, b []byte, err error)
	// DecodePayload reads what came, which may be malformed. It is not called
	// for an empty payload, which is the zero value of everything.
	DecodePayload(codec uint8, b []byte) error
}

// encode is a value as it goes: Raw as bytes, None as nothing, a Payload as it
// says, all else as JSON. The switch is on a pointer, so that only the latter
// two move v to the heap. asked is the codec of the request that v answers.
func encode[T any](v T, asked uint8) (codec uint8, b []byte, err error) {
	switch v := any(&v).(type) {
	case *None:
		return ipc.CodecNone, nil, nil
	case *Raw:
		return ipc.CodecRaw, *v, nil
	}
	if _, own := any(&v).(Payload); own {
		own := v
		return any(&own).(Payload).EncodePayload(asked)
	}
	b, err = json.Marshal(v)
	return ipc.CodecJSON, b, err
}

// decode reads a payload. Raw takes any; an empty payload is the zero value of
// everything.
func decode[T any](codec uint8, b []byte) (v T, err error) {
	switch v := any(&v).(type) {
	case *Raw:
		*v = b
		codec, b = ipc.CodecNone, nil
	case *None:
		codec, b = ipc.CodecNone, nil
	}
	if len(b) == 0 {
		return v, nil
	}
	if _, own := any(&v).(Payload); own {
		return decodeOwn[T](codec, b)
	}
	switch codec {
	case ipc.CodecJSON:
		return decodeJSON[T](b)
	case ipc.CodecNone:
		return v, fmt.Errorf("%d bytes of no codec", len(b))
	}
	return v, fmt.Errorf("codec %d is not JSON", codec)
}

func decodeOwn[T any](codec uint8, b []byte) (v T, err error) {
	err = any(&v).(Payload).DecodePayload(codec, b)
	return v, err
}

func decodeJSON[T any](b []byte) (v T, err error) {
	err = json.Unmarshal(b, &v)
	return v, err
}

// mustJSON is for structs of this module, which have nothing that cannot be
// encoded.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}
