package proc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// A worker that is behind: its sender is told, keeps back what is for it, and
// nothing is lost or out of order. Others hear nothing of it.
func TestASenderHoldsBackForAWorkerThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		start(t, tree, "/other", srv)
		gate := make(chan struct{})
		next, wrong := byte(0), 0
		start(t, tree, "/slow", func(s *proc.Server) error {
			NoteRaw.Handle(s, func(_ context.Context, b proc.Raw) error {
				<-gate
				if b[0] != next {
					wrong++
				}
				next++
				return nil
			})
			Count.Handle(s, func(context.Context, proc.None) (int, error) { return wrong, nil })
			return nil
		})
		ctx := tree.Context()
		sent := 0
		send := func() error {
			b := make(proc.Raw, 64<<10+1) // goes in pieces
			b[0] = byte(sent)
			err := NoteRaw.Cast(ctx, proc.Name("/slow"), b)
			if err == nil {
				sent++
			}
			synctest.Wait()
			return err
		}
		for range 300 { // over the mark of 16 MiB
			if err := send(); err != nil {
				t.Fatal(err)
			}
		}
		const stats proc.Call[proc.None, proc.Statistics] = "$sys.statistics"
		queued := func() int { return must[proc.Statistics](t)(stats.Call(ctx, proc.Name("/slow"), proc.None{})).Mailbox }
		held := queued()
		for {
			if err := send(); err != nil {
				if !errors.Is(err, proc.ErrBusy) {
					t.Fatal(err)
				}
				break
			}
		}
		if sent < 450 || sent > 600 {
			t.Errorf("busy after %d casts", sent)
		}
		if now := queued(); now > held+10 {
			t.Errorf("%d casts wait in the worker, %d when the sender was told", now, held)
		}
		begun := time.Now()
		must[string](t)(Echo.Call(ctx, Srv, "others go on"))
		if time.Since(begun) != 0 {
			t.Error("another's call waited")
		}
		close(gate)
		synctest.Wait()
		if wrong := must[int](t)(Count.Call(ctx, proc.Name("/slow"), proc.None{})); wrong != 0 || next != byte(sent) {
			t.Errorf("%d casts out of order; the last was %d of %d", wrong, next, byte(sent))
		}
	})
}
