package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/cbor"
)

// blob is a message that JSON would have to write as base64.
type blob struct {
	Name  string `json:"name"`
	Bytes []byte `json:"bytes"`
}

const (
	theStore proc.Name                               = "store"
	mirror   proc.Call[cbor.Of[blob], cbor.Of[blob]] = "mirror"
	throw    proc.Call[cbor.Of[int], string]         = "throw"  // a store calls another in CBOR, of so many bytes
	atSh     proc.Call[cbor.Of[string], string]      = "greet"  // of a worker in line mode
	askSh    proc.Call[proc.None, string]            = "ask sh" // … by way of the store
)

// store speaks CBOR with others of its kind.
func store(s *proc.Server) error {
	mirror.Handle(s, func(_ context.Context, b cbor.Of[blob]) (cbor.Of[blob], error) {
		b.V.Name += " in the mirror"
		return b, nil
	})
	throw.Handle(s, func(ctx context.Context, n cbor.Of[int]) (string, error) {
		sent := blob{"it", bytes.Repeat([]byte{0, 255}, n.V/2)}
		got, err := mirror.Call(ctx, theStore, cbor.New(sent))
		if err == nil && !bytes.Equal(got.V.Bytes, sent.Bytes) {
			err = errors.New("other bytes came back")
		}
		return got.V.Name, err
	})
	askSh.Handle(s, func(ctx context.Context, _ proc.None) (string, error) {
		_, err := atSh.Call(ctx, proc.Name("greeter"), cbor.New("Joe"))
		if errors.Is(err, proc.ErrBadRequest) {
			return "bad_request", nil
		}
		return "", err
	})
	if s.Path() == "/store" {
		return s.Register(theStore)
	}
	return nil
}

func TestWorkersSpeakCBOR(t *testing.T) {
	left := worker(supervisor("/left"), "a", "proc store")
	tt := plant(t, under(worker(worker(supervisor("/"), "store", "proc store"), "sh", "", inSh(greeter)), left))
	for _, size := range []int{2, 100_000} { // in one frame, and in pieces
		if got := must[string](tt, "/left/a", "throw", size); got != "it in the mirror" {
			t.Errorf("%d bytes through two nodes: %q", size, got)
		}
	}
	if got := must[blob](tt, "store", "mirror", blob{"Joe", []byte{7}}); got.Name != "Joe in the mirror" || !bytes.Equal(got.Bytes, []byte{7}) {
		t.Errorf("asked in JSON: %+v", got)
	}
	if _, err := ask[json.RawMessage](tt, "store", "mirror", 7); code(err) != "bad_request" {
		t.Errorf("asked for a mirror of 7: %v", err)
	}
	if got := must[string](tt, "/left/a", "ask sh", nil); got != "bad_request" {
		t.Errorf("CBOR to a worker in line mode: %q", got)
	}
	if got := must[string](tt, "greeter", "greet", "Joe"); got != "hello Joe" {
		t.Errorf("the worker in line mode afterwards: %q", got)
	}
}
