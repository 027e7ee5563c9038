package proc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// A server is busy for a second. Of those who call meanwhile one waits 100 ms,
// one waits long enough, one gives up by cancelling, and one casts.
func TestDropExpiredLeavesUndoneWhatNobodyWaitsFor(t *testing.T) {
	const stats proc.Call[proc.None, proc.Statistics] = "$sys.statistics"
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprint(drop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree, notes := server(t, func(s *proc.Server, note func(string)) error {
					Echo.Handle(s, func(_ context.Context, text string) (string, error) { note(text); return text, nil })
					if drop {
						s.DropExpired()
					}
					return nil
				})
				ctx := tree.Context()
				go Sleep.Call(ctx, Srv, time.Second)
				synctest.Wait()

				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				late := make(chan error, 1)
				go func() { _, err := Echo.Call(short, Srv, "late"); late <- err }()
				patient := make(chan error, 1)
				go func() { _, err := Echo.Call(ctx, Srv, "patient"); patient <- err }()
				fickle, leave := context.WithCancel(ctx)
				go Echo.Call(fickle, Srv, "cancelled")
				synctest.Wait()
				leave()
				if err := Note.Cast(ctx, Srv, "cast"); err != nil {
					t.Fatal(err)
				}
				if err := <-late; !errors.Is(err, proc.ErrTimeout) {
					t.Errorf("the impatient caller got %v", err)
				}
				if err := <-patient; err != nil {
					t.Errorf("the patient caller got %v", err)
				}
				got := map[string]bool{}
				for _, note := range notes() {
					got[note] = true
				}
				if got["late"] == drop || !got["patient"] || !got["cancelled"] || !got["cast"] {
					t.Errorf("it handled %v", got)
				}
				handled := uint64(5)
				if drop {
					handled--
				}
				if st := must[proc.Statistics](t)(stats.Call(ctx, Srv, proc.None{})); st.Expired != 1 || st.Handled != handled || st.In != 5 {
					t.Errorf("its figures are %+v", st)
				}
			})
		})
	}
}

// Who has no clock, a script in line mode, learns it from the answer.
func TestADroppedCallIsAnswered(t *testing.T) {
	p := spawn(t, "drops", true)
	p.want(ipc.VerbHello)
	p.want(ipc.VerbReady)
	p.send(ipc.Message{Type: ipc.Call, ID: 7, Method: ipc.VerbSuspend})
	p.want("7")
	p.send(ipc.Message{Type: ipc.Call, Codec: ipc.CodecJSON, ID: 8, Method: "echo", Payload: []byte(`"late"`), Left: time.Microsecond})
	p.send(ipc.Message{Type: ipc.Call, ID: 9, Method: ipc.VerbPing})
	p.want("9") // call 8 waits, and a round trip is longer than a microsecond
	p.send(ipc.Message{Type: ipc.Call, ID: 10, Method: ipc.VerbResume})
	p.want("10")
	if m := p.want("8"); m.Type != ipc.Error || !strings.Contains(string(m.Payload), `"code":"timeout"`) {
		t.Errorf("the call that was too late got %s", m.Payload)
	}
}
