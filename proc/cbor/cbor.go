// Package cbor lets calls and casts of package proc go as CBOR (RFC 8949), in
// place of JSON: smaller, with bytes as bytes. Whoever does not import it does
// not carry it.
//
// The protocol's constants say so, for server and callers alike:
//
//	const Thumbnail proc.Call[cbor.Of[Picture], cbor.Of[Picture]] = "thumbnail"
//
//	Thumbnail.Handle(s, func(_ context.Context, p cbor.Of[Picture]) (cbor.Of[Picture], error) {
//		return cbor.New(shrink(p.V)), nil
//	})
//	small, err := Thumbnail.Call(ctx, Studio, cbor.New(large))
//
// A worker in line mode can be sent no CBOR: a call to it is proc.ErrBadRequest.
// It may call, and so may a shell: a request that came as JSON is read as JSON,
// and answered in it. A request without a payload says nothing of its caller,
// and is answered in CBOR.
package cbor

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// The bounds of what is read. A message's size is bounded by the channel
// (ipc.MaxMessage); an element of one byte may become a value of hundreds.
const (
	MaxDepth    = 64      // arrays, maps and tags within each other
	MaxElements = 1 << 20 // of one array, or pairs of one map
)

// Of is a T that goes as CBOR. Its encoding is deterministic (RFC 8949, section
// 4.2.1): equal values are equal bytes. Fields have the names that their tags
// `cbor` or `json` say; types with MarshalText are text, a time.Time is text
// with its nanoseconds. Maps with one key twice, invalid UTF-8, bytes behind the
// value, and what is over MaxDepth or MaxElements are refused, as
// proc.ErrBadRequest or proc.ErrBadReply. The zero value holds T's.
type Of[T any] struct{ V T }

// New is v as it goes as CBOR.
func New[T any](v T) Of[T] { return Of[T]{v} }

// EncodePayload is for package proc: a request in JSON is answered in JSON.
func (o *Of[T]) EncodePayload(asked uint8) (codec uint8, b []byte, err error) {
	if asked == ipc.CodecJSON {
		b, err = json.Marshal(o.V)
		return asked, b, err
	}
	b, err = modes.enc.Marshal(o.V)
	return ipc.CodecCBOR, b, err
}

// DecodePayload is for package proc: CBOR, or JSON.
func (o *Of[T]) DecodePayload(codec uint8, b []byte) error {
	switch codec {
	case ipc.CodecCBOR:
		return modes.dec.Unmarshal(b, &o.V)
	case ipc.CodecJSON:
		return json.Unmarshal(b, &o.V)
	}
	return fmt.Errorf("codec %d is neither CBOR nor JSON", codec)
}

var _ proc.Payload = (*Of[int])(nil)

// modes are the rules by which is written and read. They are made once and
// never change.
var modes = rules()

type codecs struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func rules() codecs {
	write := cbor.CoreDetEncOptions()
	write.Time, write.TimeTag = cbor.TimeRFC3339Nano, cbor.EncTagRequired
	write.TextMarshaler = cbor.TextMarshalerTextString
	enc, err := write.EncMode()
	if err != nil {
		panic("writing CBOR: " + err.Error()) // constants, which the tests have seen
	}
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  MaxDepth,
		MaxArrayElements: MaxElements,
		MaxMapPairs:      MaxElements,
		TextUnmarshaler:  cbor.TextUnmarshalerTextString,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
	}.DecMode()
	if err != nil {
		panic("reading CBOR: " + err.Error())
	}
	return codecs{enc, dec}
}
