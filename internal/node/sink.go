package node

import (
	"net"

	"github.com/supertrees/supervise/internal/journal"
)

// sink is where a node whose parent is gone tells what it still does: in
// datagrams, a record each, to whoever wants to know.
type sink struct{ conn net.Conn }

// newSink returns nil where nobody wants to know any more.
func newSink(path string) *sink {
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return nil
	}
	return &sink{conn}
}

func (s *sink) record(r *journal.Record) {
	_, _ = s.conn.Write(r.Append(nil)) // its reader may be gone by now
}
