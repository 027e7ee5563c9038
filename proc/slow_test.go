package proc_test

import (
	"strings"
	"testing"

	"github.com/supertrees/supervise/ipc"
)

// The node says how long a handler may take; a program may know better.
func TestASlowHandlerIsWarnedOf(t *testing.T) {
	for role, c := range map[string]struct {
		limit string
		warns bool
	}{
		"sleeper":      {`"slow_handler":0.001`, true},
		"sleeper ":     {`"slow_handler":3600`, false},
		"sleeper  ":    {`"window":1024`, false},
		"own sleeper":  {`"slow_handler":3600`, true},
		"deep sleeper": {`"slow_handler":0.001`, false},
	} {
		p := spawn(t, strings.TrimSpace(role), false)
		p.send(ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: []byte(`{"protocol":[1],"path":"/w","addr":"@1.2","incarnation":1,` + c.limit + `}`)})
		p.want(ipc.VerbHello)
		p.want(ipc.VerbReady)
		p.send(ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: 7, Method: "sleep", Payload: []byte(`2000000`)})
		p.want("7")
		p.send(ipc.Message{Type: ipc.Cast, Method: ipc.VerbStop})
		p.want(ipc.VerbExiting)
		p.ended()
		if got := strings.Contains(p.errOut.String(), "slow handler") && strings.Contains(p.errOut.String(), "method=sleep"); got != c.warns {
			t.Errorf("%s with %s: it warned: %v: %s", role, c.limit, got, &p.errOut)
		}
	}
}
