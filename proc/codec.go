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

// encode is a value as it goes: Raw as bytes, None as nothing, all else as
// JSON. The switch is on a pointer, so that only JSON moves v to the heap.
func encode[T any](v T) (codec uint8, b []byte, err error) {
	switch v := any(&v).(type) {
	case *None:
		return ipc.CodecNone, nil, nil
	case *Raw:
		return ipc.CodecRaw, *v, nil
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
	switch {
	case len(b) == 0:
		return v, nil
	case codec == ipc.CodecJSON:
		return decodeJSON[T](b)
	case codec == ipc.CodecNone:
		return v, fmt.Errorf("%d bytes of no codec", len(b))
	}
	return v, fmt.Errorf("codec %d is not JSON", codec)
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
