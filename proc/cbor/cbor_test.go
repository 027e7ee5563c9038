package cbor_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/cbor"
	"github.com/supertrees/supervise/proc/proctest"
)

type picture struct {
	Title  string         `json:"title"`
	Pixels []byte         `json:"pixels"`
	Taken  time.Time      `json:"taken"`
	By     ipc.Addr       `json:"by"`
	Tags   map[string]int `json:"tags"`
}

func full() picture {
	return picture{"sea", []byte{0, 255, 1}, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), ipc.NewAddr(3, 17), map[string]int{"b": 2, "a": 1, "long": -7}}
}

const (
	studio    proc.Name                                     = "studio"
	turn      proc.Call[cbor.Of[picture], cbor.Of[picture]] = "turn"
	turnRaw   proc.Call[proc.Raw, proc.Raw]                 = "turn"
	turnJSON  proc.Call[picture, picture]                   = "turn"
	latest    proc.Call[proc.None, cbor.Of[picture]]        = "latest"
	keep      proc.Cast[cbor.Of[picture]]                   = "keep"
	saysOther proc.Call[proc.None, cbor.Of[int]]            = "latest"
)

func newStudio(s *proc.Server) error {
	var last picture
	turn.Handle(s, func(_ context.Context, p cbor.Of[picture]) (cbor.Of[picture], error) {
		p.V.Title += "!"
		return p, nil
	})
	latest.Handle(s, func(context.Context, proc.None) (cbor.Of[picture], error) { return cbor.New(last), nil })
	keep.Handle(s, func(_ context.Context, p cbor.Of[picture]) error { last = p.V; return nil })
	return s.Register(studio)
}

func TestCallsAndCastsInCBOR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		if err := tree.Start("/studio", newStudio); err != nil {
			t.Fatal(err)
		}
		ctx := tree.Context()
		want := full()
		want.Title = "sea!"
		if got, err := turn.Call(ctx, studio, cbor.New(full())); err != nil || !reflect.DeepEqual(got.V, want) {
			t.Errorf("it turned it into %+v, %v", got.V, err)
		}
		if err := keep.Cast(ctx, studio, cbor.New(full())); err != nil {
			t.Fatal(err)
		}
		if got, err := latest.Call(ctx, studio, proc.None{}); err != nil || !reflect.DeepEqual(got.V, full()) {
			t.Errorf("it kept %+v, %v", got.V, err)
		}
		// Who asks in JSON is answered in JSON: a shell, a worker in line mode.
		if got, err := turnJSON.Call(ctx, studio, full()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("asked in JSON it answers %+v, %v", got, err)
		}
		// What is neither is the sender's mistake, and the server lives.
		if _, err := turnRaw.Call(ctx, studio, proc.Raw("not CBOR")); !errors.Is(err, proc.ErrBadRequest) {
			t.Errorf("raw bytes: %v", err)
		}
		if _, err := saysOther.Call(ctx, studio, proc.None{}); !errors.Is(err, proc.ErrBadReply) {
			t.Errorf("a reply of another type: %v", err)
		}
	})
}

// encoded is a value as it goes.
func encoded[T any](t *testing.T, v T) []byte {
	t.Helper()
	o := cbor.New(v)
	codec, b, err := o.EncodePayload(ipc.CodecNone)
	if err != nil || codec != ipc.CodecCBOR {
		t.Fatalf("codec %d, %v", codec, err)
	}
	return b
}

// The values of RFC 8949, appendix A, and what section 4.2.1 says of maps.
func TestTheEncodingIsDeterministic(t *testing.T) {
	for want, v := range map[string]any{
		"00":                    0,
		"1903e8":                1000,
		"20":                    -1,
		"f93e00":                1.5,
		"f97e00":                math.NaN(),
		"6449455446":            "IETF",
		"4401020304":            []byte{1, 2, 3, 4},
		"83010203":              []int{1, 2, 3},
		"a2616101616202":        map[string]int{"b": 2, "a": 1},
		"f6":                    nil,
		"65" + "40332e3137":     ipc.NewAddr(3, 17),
		"c0" + hexText(t, 2013): time.Date(2013, 3, 21, 20, 4, 0, 0, time.UTC),
	} {
		if got := hex.EncodeToString(encoded(t, v)); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	first := encoded(t, full())
	for range 20 {
		if again := encoded(t, full()); !bytes.Equal(first, again) {
			t.Fatalf("equal values are %x and %x", first, again)
		}
	}
}

// hexText is the time of the RFC's example in that year, as a text in CBOR.
func hexText(t *testing.T, year int) string {
	t.Helper()
	return hex.EncodeToString(encoded(t, time.Date(year, 3, 21, 20, 4, 0, 0, time.UTC).Format(time.RFC3339)))
}

func TestWhatIsReadHasBounds(t *testing.T) {
	deep := func(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n), 0) }
	wide := func(n int) []byte {
		head := []byte{0x9a, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		return append(head, make([]byte, n)...)
	}
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"as deep as may be":      {deep(cbor.MaxDepth), true},
		"deeper":                 {deep(cbor.MaxDepth + 1), false},
		"a million deep":         {deep(1 << 20), false},
		"as long as may be":      {wide(cbor.MaxElements), true},
		"longer":                 {wide(cbor.MaxElements + 1), false},
		"a length that lies":     {[]byte{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		"bytes that lie":         {[]byte{0x5b, 0, 0, 0, 1, 0, 0, 0, 0}, false},
		"a key twice":            {[]byte{0xa2, 0x61, 'a', 1, 0x61, 'a', 2}, false},
		"a text that is none":    {[]byte{0x62, 0xff, 0xfe}, false},
		"something behind it":    {[]byte{0, 0}, false},
		"cut off":                {[]byte{0x82, 0}, false},
		"a key that has no hash": {[]byte{0xa1, 0x80, 0}, false},
	} {
		var o cbor.Of[any]
		if err := o.DecodePayload(ipc.CodecCBOR, c.b); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	var o cbor.Of[any]
	if err := o.DecodePayload(ipc.CodecRaw, []byte{0}); err == nil || !strings.Contains(err.Error(), "codec 3") {
		t.Errorf("another codec: %v", err)
	}
}

// Whatever comes is a value or an error; and a value that came goes out again.
func FuzzDecode(f *testing.F) {
	o := cbor.New(full())
	_, b, err := o.EncodePayload(ipc.CodecNone)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ipc.CodecCBOR, b)
	f.Add(ipc.CodecJSON, []byte(`{"title":"sea"}`))
	f.Add(ipc.CodecCBOR, []byte{0xa1, 0x80, 0})
	f.Add(ipc.CodecCBOR, []byte{0xc0, 0x61, 'x'})
	f.Add(ipc.CodecCBOR, []byte{0xc2, 0x41, 1})
	f.Add(ipc.CodecCBOR, []byte{0x9f, 0xff})
	f.Fuzz(func(t *testing.T, codec uint8, b []byte) {
		var p cbor.Of[picture]
		_ = p.DecodePayload(codec, b)
		var v cbor.Of[any]
		if v.DecodePayload(codec, b) != nil {
			return
		}
		_, again, err := v.EncodePayload(ipc.CodecNone)
		if err != nil {
			t.Fatalf("%x came, and cannot go: %v", b, err)
		}
		var w cbor.Of[any]
		if err := w.DecodePayload(ipc.CodecCBOR, again); err != nil {
			t.Fatalf("%x is written as %x, which cannot be read: %v", b, again, err)
		}
	})
}

// What a worker carries is what it imports: docs/decisions/cbor.md has the
// sizes.
func TestNeitherProcNorTheProgramLinksIt(t *testing.T) {
	for _, pkg := range []string{"../../cmd/supervise", "../../examples/names"} {
		out, err := exec.Command("go", "list", "-deps", pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if bytes.Contains(out, []byte("cbor")) {
			t.Errorf("%s links it", filepath.Base(pkg))
		}
	}
}
