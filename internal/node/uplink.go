package node

import (
	"encoding/json"
	"fmt"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/ipc"
)

// recordBatch is how many records a node gathers before it writes them up the
// link; it also writes them whenever it is about to wait.
const recordBatch = 64

// Uplink is the upstream of a node below the root: what it says to its parent.
// It waits while the parent does not read, so that nothing is lost.
type Uplink struct {
	board   *board.Board
	records []journal.Record
}

// receiveHello waits for the parent's first message.
func receiveHello() (hello, error) {
	var h hello
	m, err := board.First(linkRead)
	if err != nil {
		return h, fmt.Errorf("reading the hello of the parent: %w", err)
	}
	if m.Method != methodHello {
		return h, fmt.Errorf("reading the hello of the parent: got %q", m.Method)
	}
	if err := json.Unmarshal(m.Payload, &h); err != nil {
		return h, fmt.Errorf("reading the hello of the parent: %w", err)
	}
	return h, nil
}

// Record gathers a record for the parent.
func (u *Uplink) Record(r journal.Record) {
	u.records = append(u.records, r)
	if len(u.records) >= recordBatch {
		u.Flush()
	}
}

// Flush writes what Record has gathered.
func (u *Uplink) Flush() {
	if len(u.records) == 0 {
		return
	}
	u.cast(methodEvent, ipc.CodecRaw, journal.AppendRecords(nil, u.records))
	u.records = u.records[:0]
}

// Output passes lines up.
func (u *Uplink) Output(b output.Batch) {
	payload, err := b.MarshalBinary()
	if err != nil {
		return
	}
	u.board.UpLines(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecRaw, Method: methodOutput, Payload: payload})
}

// Ready says that the whole subtree runs.
func (u *Uplink) Ready() {
	u.Flush()
	u.cast(methodReady, ipc.CodecNone, nil)
}

// Ignored says that the start is answered with ignore; the exit follows.
func (u *Uplink) Ignored() { u.cast(methodIgnore, ipc.CodecNone, nil) }

// Stopping has nothing to say: the parent ordered it, or sees the end.
func (u *Uplink) Stopping() {}

// Failed says why the start failed; the exit status follows.
func (u *Uplink) Failed(reason string) {
	u.Flush()
	u.cast(methodFailed, ipc.CodecRaw, []byte(reason))
}

func (u *Uplink) cast(method string, codec uint8, payload []byte) {
	u.board.Up(ipc.Message{Type: ipc.Cast, Codec: codec, Method: method, Payload: payload})
}
