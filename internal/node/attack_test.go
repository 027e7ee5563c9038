package node

import (
	"fmt"
	"strings"

	"github.com/supertrees/supervise/ipc"
)

// named asks the root for a name or a group.
func (p *puppet) named(method, name string) chan ipc.Message {
	return p.call(&ipc.Message{Dst: ipc.Root, Method: method, Codec: ipc.CodecJSON, Payload: jsonOf(ipc.Name{Name: name})})
}

// attack does one of the things that no worker may, N times, and counts the
// outcomes of those that have one.
func (p *puppet) attack(o *order) map[string]int {
	seen := map[string]int{}
	switch o.Method {
	case "forge a source":
		var src ipc.Addr
		_ = src.UnmarshalText([]byte(o.Reason))
		for range o.N {
			p.send(&ipc.Message{Type: ipc.Cast, To: o.To, Method: "note", Src: src, Codec: ipc.CodecRaw, Payload: []byte("1")})
		}
	case "answer others' calls":
		for i := range uint64(o.N) {
			for _, gen := range []uint64{0, 1, 2, i} {
				p.send(&ipc.Message{Type: ipc.Reply, ID: gen<<32 | i, Payload: []byte(`"forged"`)})
				p.send(&ipc.Message{Type: ipc.Cancel, ID: gen<<32 | i})
			}
		}
	case ipc.VerbGone:
		p.send(&ipc.Message{Type: ipc.Cast, Method: ipc.VerbGone, Codec: ipc.CodecJSON, Payload: []byte(o.Reason)})
		block()
	case ipc.VerbRegister, ipc.VerbJoin:
		for done := 0; done < o.N; {
			var calls []chan ipc.Message
			for range min(500, o.N-done) {
				done++
				if o.Reason != "" { // between them it leaves a group that it is not in
					p.named(ipc.VerbLeave, o.Reason)
				}
				calls = append(calls, p.named(o.Method, fmt.Sprint(o.To, "n", done)))
			}
			for _, c := range calls {
				seen[outcome(<-c)]++
			}
			p.forget(nil, seen)
		}
	default: // that method, as a cast and as a call
		m := ipc.Message{Type: ipc.Cast, To: o.To, Method: o.Method, About: o.About, Codec: ipc.CodecJSON, Payload: jsonOf(o.Payload)}
		if o.Method == "0xff" {
			m.Method = strings.Repeat("\xff", ipc.MaxMethod)
		}
		p.send(&m)
		if o.N < 0 {
			break
		}
		seen[outcome(<-p.call(&m))]++
	}
	return seen
}
