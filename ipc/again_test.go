package ipc_test

import (
	"reflect"
	"testing"

	"github.com/supertrees/supervise/ipc"
)

// An assembler reads messages into the same memory, and knows again the fields
// that it has just seen. Nothing of a message may be found in the next.
func TestAMessageHasNothingOfTheOneBefore(t *testing.T) {
	fields := []ipc.Fields{
		{Method: []byte("find"), To: []byte("names"), Left: 5000},
		{Method: []byte("find"), To: []byte("names"), Manage: true},
		{Method: []byte("find"), To: []byte("names")},
		{Method: []byte("find"), Traceparent: make([]byte, 25), Tracestate: []byte("a=b")},
		{Method: []byte("f")},
		{},
	}
	var assemble ipc.Assembler
	var m ipc.Message
	for i := range fields {
		for j := range fields {
			for _, k := range []int{i, i, j, j} {
				f := ipc.Frame{Header: ipc.Header{Type: ipc.Reply, ID: uint64(k)}, Fields: fields[k].Append(nil)}
				if done, err := assemble.AddTo(&m, &f); !done || err != nil {
					t.Fatal(done, err)
				}
				want, err := f.Message()
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(m, want) {
					t.Fatalf("after %d and %d: %+v is not %+v", i, j, m, want)
				}
			}
		}
	}
}
