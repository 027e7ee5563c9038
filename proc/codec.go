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

// encode is a value as it goes: Raw as bytes, None as nothing, all else as JSON.
func encode(v any) (codec uint8, b []byte, err error) {
	switch v := v.(type) {
	case None:
		return ipc.CodecNone, nil, nil
	case Raw:
		return ipc.CodecRaw, v, nil
	}
	b, err = json.Marshal(v)
	return ipc.CodecJSON, b, err
}

// decode reads a payload into *v. Raw takes any; an empty payload is the zero
// value of everything.
func decode(codec uint8, b []byte, v any) error {
	switch v := v.(type) {
	case *Raw:
		*v = b
		return nil
	case *None:
		return nil
	}
	switch {
	case len(b) == 0:
		return nil
	case codec == ipc.CodecJSON:
		return json.Unmarshal(b, v)
	case codec == ipc.CodecNone:
		return fmt.Errorf("%d bytes of no codec", len(b))
	}
	return fmt.Errorf("codec %d is not JSON", codec)
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
