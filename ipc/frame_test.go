package ipc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The call of a session: to names, find, "Joe", 5 s left.
const callFindJoe = "0000003b0101001a00000000000000070000000000000000000000000000000001000466696e640200056e616d657303000800000000004c4b40224a6f6522"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestACallReadsAsItIsWritten(t *testing.T) {
	wire := unhex(t, callFindJoe)
	f, n, err := Next(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("Next: %d bytes, %v", n, err)
	}
	m, err := f.Message()
	if err != nil {
		t.Fatal(err)
	}
	if m.Type != Call || m.Codec != CodecJSON || m.ID != 7 || m.Method != "find" || m.To != "names" || m.Left != 5*time.Second || string(m.Payload) != `"Joe"` {
		t.Errorf("read %+v", m)
	}
	err = m.Frames(nil, func(f *Frame) error {
		if got := f.Append(nil); !bytes.Equal(got, wire) {
			t.Errorf("written again:\n%x, want\n%x", got, wire)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMalformedFramesAreFoundEarly(t *testing.T) {
	good := unhex(t, callFindJoe)
	with := func(at int, b ...byte) []byte {
		bad := bytes.Clone(good)
		copy(bad[at:], b)
		return bad
	}
	for _, tc := range []struct {
		name string
		wire []byte
		want string
	}{
		{"length too small", []byte{0, 0, 0, 27}, "length 27 is not in 28 to 69660"},
		{"length too large", []byte{0, 1, 0x10, 0x1d}, "length 69661"},
		{"type 0", with(4, 0), "frame type 0"},
		{"type 6", with(4, 6), "frame type 6"},
		{"flag 7", with(5, 0x81), "bits 6 or 7"},
		{"fields past the end", with(6, 0, 200), "200 bytes of extension fields"},
		{"a field past the end", with(33, 1, 0), "extension field 1 has 256 bytes"},
		{"fields out of order", with(39, 1), "extension field 1 follows field 1"},
	} {
		f, _, err := Next(tc.wire)
		if err == nil {
			_, err = f.Message()
		}
		var bad *Malformed
		if !errors.As(err, &bad) || !strings.Contains(bad.Why, tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestASplitterFindsTheSameFramesHoweverTheBytesCome(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var wire []byte
	var want []int
	for i := range 300 {
		f := Frame{Header: Header{Type: Cast, ID: uint64(i)}, Payload: make([]byte, random.IntN(3000))}
		wire, want = f.Append(wire), append(want, len(f.Payload))
	}
	for _, most := range []int{1, 2, 31, 33, 1000, 70000} {
		var s Splitter
		var got []int
		for rest := wire; len(rest) > 0; {
			n := min(1+random.IntN(most), len(rest))
			err := s.Feed(rest[:n], func(f *Frame) error { got = append(got, len(f.Payload)); return nil })
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if len(got) != len(want) || s.Pending() != 0 {
			t.Fatalf("at most %d bytes at a time: %d frames, %d bytes left", most, len(got), s.Pending())
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("frame %d has %d bytes, want %d", i, got[i], want[i])
			}
		}
	}
}

func TestAConnCarriesMessagesLongerThanAFrame(t *testing.T) {
	r, w := io.Pipe()
	from, to := NewConn(nil, w, MaxMessage), NewConn(r, nil, MaxMessage)
	sent := []Message{
		{Type: Cast, Codec: CodecRaw, ID: 1, Method: "big", Payload: bytes.Repeat([]byte("abc"), 1<<20)},
		{Type: Call, ID: 2, Method: "$whereis", To: "/shop/bank", About: true, Left: time.Millisecond},
		{Type: Reply, ID: 3, Codec: CodecJSON, Payload: []byte("{}")},
		{Type: Cast, Codec: CodecRaw, ID: 4, Method: "edge", Payload: bytes.Repeat([]byte("x"), MaxPayload)},
	}
	go func() {
		for _, m := range sent {
			if err := from.Send(m); err != nil {
				t.Error(err)
			}
		}
		w.Close()
	}()
	for _, want := range sent {
		got, err := to.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if got.Method != want.Method || got.ID != want.ID || got.To != want.To || got.About != want.About || got.Left != want.Left || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("got %v %q with %d bytes, want %q with %d", got.Type, got.Method, len(got.Payload), want.Method, len(want.Payload))
		}
	}
	if _, err := to.Receive(); err != io.EOF {
		t.Errorf("after the last message: %v, want EOF", err)
	}
}

func TestAMessageOverTheLimitIsRefusedAndItsPiecesAreSwallowed(t *testing.T) {
	a := Assembler{Limit: 100_000}
	add := func(m Message) (got []Message) {
		err := m.Frames(nil, func(f *Frame) error {
			m, done, err := a.Add(f)
			if done {
				got = append(got, m)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := add(Message{Type: Call, ID: 1, Method: "big", Payload: make([]byte, 200_000)})
	if len(got) != 1 || got[0].Refused != CodeTooLarge || got[0].Payload != nil {
		t.Errorf("too large: %+v", got)
	}
	got = add(Message{Type: Call, ID: 2, Method: "small", Payload: make([]byte, 100_000)})
	if len(got) != 1 || got[0].Refused != "" || len(got[0].Payload) != 100_000 {
		t.Errorf("at the limit: %+v", got)
	}
	if a.held != 0 || len(a.open) != 0 {
		t.Errorf("%d bytes held of %d messages", a.held, len(a.open))
	}
}

func TestACancelFreesThePiecesOfItsCall(t *testing.T) {
	var a Assembler
	m := Message{Type: Call, ID: 9, Method: "big", Payload: make([]byte, 200_000)}
	n := 0
	_ = m.Frames(nil, func(f *Frame) error {
		if n++; n == 3 {
			return io.ErrShortWrite
		}
		_, _, err := a.Add(f)
		return err
	})
	if a.held == 0 {
		t.Fatal("nothing held after two pieces")
	}
	if _, done, err := a.Add(&Frame{Header: Header{Type: Cancel, ID: 9}}); !done || err != nil || a.held != 0 {
		t.Errorf("after the cancel: done %v, %v, %d bytes held", done, err, a.held)
	}
}

func TestAddressesAreTextInMessages(t *testing.T) {
	a := NewAddr(3, 17)
	var back Addr
	if err := back.UnmarshalText([]byte(a.String())); err != nil || back != a || a.String() != "@3.17" {
		t.Errorf("%v: %v, %v", a, back, err)
	}
	for _, bad := range []string{"3.17", "@3", "@0.1", "@-1.2", "@3.4294967296", "@a.b"} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, back)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add(unhex(f, callFindJoe))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := Next(b)
		if err != nil || n == 0 {
			return
		}
		if got := frame.Append(nil); !bytes.Equal(got, b[:n]) {
			t.Errorf("%x was written again as %x", b[:n], got)
		}
		fields, err := ParseFields(frame.Fields)
		if err != nil {
			return
		}
		again, err := ParseFields(fields.Append(nil))
		if err != nil || !bytes.Equal(again.Method, fields.Method) || !bytes.Equal(again.To, fields.To) || again.Left != fields.Left {
			t.Errorf("fields %+v read again as %+v, %v", fields, again, err)
		}
	})
}

func TestWhatFollowsALastPieceWithItsHeadIsNoMessage(t *testing.T) {
	m := Message{Type: Cast, ID: 9, Method: "note", Codec: CodecRaw, Payload: make([]byte, MaxPayload+5)}
	var wire, last []byte
	err := m.Frames(nil, func(f *Frame) error {
		last = f.Append(nil)
		wire = append(wire, last...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(append(wire, last...)))
	var assemble Assembler
	var got Message
	var f Frame
	if done, err := assemble.ReadTo(&got, r, &f); done || err != nil {
		t.Fatal(done, err)
	}
	if done, err := assemble.ReadTo(&got, r, &f); !done || err != nil || len(got.Payload) != len(m.Payload) {
		t.Fatal(done, err)
	}
	var bad *Malformed
	if _, err := assemble.ReadTo(&got, r, &f); !errors.As(err, &bad) {
		t.Fatalf("%v, want a malformed frame", err)
	}
}

func TestCastsThatAreAlikeAreBoundedOneByOne(t *testing.T) {
	to := CastTo{Dst: 7, Method: "note", Codec: CodecRaw}
	var wire []byte
	for _, size := range []int{3, 11, 0, 10} {
		m := to.Message(bytes.Repeat([]byte{byte(size)}, size))
		f, err := m.Frame(nil)
		if err != nil {
			t.Fatal(err)
		}
		wire = f.Append(wire)
	}
	r := NewReader(bytes.NewReader(wire))
	assemble := Assembler{Limit: 10}
	var got Message
	var f Frame
	for _, want := range []struct {
		size    int
		refused string
	}{{3, ""}, {0, CodeTooLarge}, {0, ""}, {10, ""}} {
		done, err := assemble.ReadTo(&got, r, &f)
		if !done || err != nil || len(got.Payload) != want.size || got.Refused != want.refused || got.Method != "note" {
			t.Fatalf("%v %v: %+v, want %+v", done, err, got, want)
		}
	}
}
