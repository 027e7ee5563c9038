package ipc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the frames of testdata/vectors.txt again from its lines")

// TestVectors: every message of testdata/vectors.txt, as a frame and as a
// line, means the same, and is written as it was read.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	name, frame, n := "", "", 0
	for at, row := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		key, value, _ := strings.Cut(row, ": ")
		switch key {
		case "message":
			name = value
		case "frame":
			frame = value
			continue
		case "line":
			n++
			got := checkVector(t, at+1, name, frame, value)
			out.WriteString("frame: " + got + "\n")
		}
		out.WriteString(row + "\n")
	}
	if n == 0 {
		t.Error("no vectors")
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func checkVector(t *testing.T, at int, name, frame, line string) (got string) {
	t.Helper()
	m, err := ParseLine([]byte(line))
	if err != nil {
		t.Fatalf("vectors.txt:%d: %s: %v", at, name, err)
	}
	f, err := m.Frame(nil)
	if err != nil {
		t.Fatalf("vectors.txt:%d: %s: %v", at, name, err)
	}
	wire := f.Append(nil)
	got = hex.EncodeToString(wire)
	if want := strings.ReplaceAll(frame, " ", ""); got != want && !*update {
		t.Errorf("vectors.txt:%d: %s: the line is the frame\n%s, want\n%s", at, name, got, want)
	}
	back, n, err := Next(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("vectors.txt:%d: %s: read back: %d bytes, %v", at, name, n, err)
	}
	again, err := back.Message()
	if err != nil {
		t.Fatalf("vectors.txt:%d: %s: %v", at, name, err)
	}
	if again, err := again.AppendLine(nil); err != nil || string(again) != line+"\n" {
		t.Errorf("vectors.txt:%d: %s: the frame is the line\n%s, %v, want\n%s", at, name, again, err, line)
	}
	return got
}

func TestWhatIsNoLineIsMalformed(t *testing.T) {
	for _, line := range []string{
		"7", "[]", `"x"`, "{", `{"id":7}x`, `{"jsonrpc":"2.0"}`, `{"method":7}`, `{"id":1.5,"result":1}`, `{"id":-1,"result":1}`,
		`{"method":"$cancel","params":{}}`, `{"method":"x","to":"@3"}`, `{"method":"x","traceparent":"00-12-34-56"}`,
		"{\"method\":\"\xff\"}", `{"method":"` + strings.Repeat("x", 300) + `"}`,
	} {
		var bad *Malformed
		if m, err := ParseLine([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s was read as %+v, %v", line, m, err)
		}
	}
}

func TestALineMayBeWrittenLoosely(t *testing.T) {
	for line, payload := range map[string]string{
		`{"id":1,"method":"x","params":"bare"}`:    `"bare"`,
		`{"id":1,"method":"x","params":[1,2]}`:     `[1,2]`,
		`{"id":1,"method":"x","params":[[1,2]]}`:   `[1,2]`,
		` {"id":1,"method":"x","params":null} `:    ``,
		`{"id":1,"method":"x","params":{"a" : 1}}`: `{"a" : 1}`,
	} {
		m, err := ParseLine([]byte(line))
		if err != nil || string(m.Payload) != payload {
			t.Errorf("%s: %q, %v", line, m.Payload, err)
		}
	}
	m, err := ParseLine([]byte(`{"id":1,"error":{"code":-32001,"message":"who?"}}`))
	if err != nil || string(m.Payload) != `{"code":"noproc","message":"who?"}` {
		t.Errorf("an error without a word: %s, %v", m.Payload, err)
	}
}

// A worker in line mode calls with ids of its own, and answers calls whose
// labels no JSON number can hold.
func TestLinesKeepBothSidesIDs(t *testing.T) {
	var l Lines
	var sent []Message
	feed := func(text string) {
		t.Helper()
		err := l.Feed([]byte(text), func(f *Frame) error {
			m, err := f.Message()
			m.Payload = bytes.Clone(m.Payload)
			sent = append(sent, m)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	out := func(m Message) string {
		t.Helper()
		var line []byte
		err := m.Frames(nil, func(f *Frame) error {
			b, back, err := l.Out(f)
			if back != nil {
				t.Errorf("sent back: %s", back.Payload)
			}
			line = append(line, b...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	feed(`{"id":"mine","method":"find","to":"na`)
	feed("mes\",\"params\":[\"Joe\"]}\n\n{\"id\":7,\"method\":\"x\"}\n")
	if len(sent) != 2 || sent[0].Method != "find" || sent[0].ID == sent[1].ID {
		t.Fatalf("sent %+v", sent)
	}
	if got := out(Message{Type: Reply, ID: sent[0].ID, Codec: CodecJSON, Payload: []byte(`"At Home"`)}); got != `{"jsonrpc":"2.0","id":"mine","result":"At Home"}`+"\n" {
		t.Errorf("the answer is %s", got)
	}
	if got := out(Message{Type: Reply, ID: sent[0].ID, Codec: CodecJSON, Payload: []byte(`"again"`)}); got != "" {
		t.Errorf("a second answer is %s", got)
	}

	const label = 7<<32 | 5
	long := `"` + strings.Repeat("x", 2*MaxPayload) + `"`
	if got := out(Message{Type: Call, ID: label, Method: "echo", Codec: CodecJSON, Payload: []byte(long)}); got != `{"jsonrpc":"2.0","id":1,"method":"echo","params":[`+long+"]}\n" {
		t.Errorf("the call is %.100s", got)
	}
	feed(`{"id":1,"result":` + long + "}\n{\"id\":1,\"result\":2}\n")
	if got := sent[len(sent)-1]; got.Type != Reply || got.ID != label {
		t.Errorf("the answer goes to %x", got.ID)
	}
	if n := len(l.given) + len(l.labels) + len(l.mine) + len(l.theirs); n != 2 {
		t.Errorf("%d ids are remembered, want those of call 7", n)
	}
}

func TestALineWorkerNeverSeesWhatIsNotJSON(t *testing.T) {
	var l Lines
	_, back, err := l.Out(&Frame{Header: Header{Type: Call, Flags: CodecRaw, ID: 9}, Fields: appendField(nil, tagMethod, "x"), Payload: []byte{0xff}})
	if err != nil || back == nil || back.ID != 9 || back.Type != Error || !strings.Contains(string(back.Payload), CodeBadRequest) {
		t.Errorf("sent back %+v, %v", back, err)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":7,"method":"find","to":"names","timeout":5,"params":["Joe"]}`))
	f.Add([]byte(`{"id":7,"error":{"code":1,"message":"m","data":{"code":"c"}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := ParseLine(line)
		if err != nil {
			return
		}
		again, err := m.AppendLine(nil)
		if err != nil {
			t.Fatalf("%s was read but cannot be written: %v", line, err)
		}
		back, err := ParseLine(again)
		if err != nil {
			t.Fatalf("%s was written as %s: %v", line, again, err)
		}
		if m.Type != back.Type || m.Method != back.Method || m.To != back.To || m.Dst != back.Dst || m.ID != back.ID {
			t.Errorf("%s was written as %s", line, again)
		}
	})
}
