package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/supertrees/supervise/proc"
)

// push is an order to a pusher: casts to somebody, of so many bytes, numbered
// from From on.
type push struct {
	To            string
	From, N, Size int
}

// pusher casts as package proc lets it, and so holds back when it is asked to.
// It answers how many casts proc has taken: as many as it was told, or until
// too many are held back.
func pusher(s *proc.Server) error {
	proc.Call[push, int]("push").Handle(s, func(ctx context.Context, p push) (int, error) {
		ctx = context.WithoutCancel(ctx)
		for i := range p.N {
			msg := fmt.Appendf(nil, "%d", p.From+i)
			msg = append(msg, bytes.Repeat([]byte(" "), max(p.Size-len(msg), 0))...)
			switch err := proc.Cast[proc.Raw]("note").Cast(ctx, proc.Name(p.To), msg); {
			case errors.Is(err, proc.ErrBusy):
				return i, nil
			case err != nil:
				return i, err
			}
		}
		return p.N, nil
	})
	return nil
}

// A sender that holds back, and the node that asked for it is killed: nobody is
// left who would say that it may go on, but it does.
func TestASenderGoesOnWhenTheNodeThatAskedItToHoldBackIsKilled(t *testing.T) {
	for _, victim := range []string{"/far", "/far/deep"} {
		t.Run(victim, func(t *testing.T) {
			far := under(supervisor("/far"), worker(supervisor("/far/deep"), "b", "puppet"))
			near := worker(supervisor("/near"), "s", "proc pusher")
			tt := plant(t, under(under(supervisor("/"), near), far))
			const b = "/far/deep/b"
			must[bool](tt, b, "deafen", nil)
			const most = 1 << 20
			held := must[int](tt, "/near/s", "push", push{To: b, N: most, Size: 4096})
			if held == most {
				t.Fatal("the sender does not hold back")
			}
			tt.kill(victim)
			tt.awaitLife(b, 2)
			// What it kept is for the next life or, where that is behind or not up
			// yet, for nobody. What it sends now comes, behind it.
			next := most
			var notes []int
			tt.until("a new cast to come", func() bool {
				next += must[int](tt, "/near/s", "push", push{To: b, From: next, N: 1})
				if got, err := ask[[]int](tt, b, "notes", nil); err == nil { // else much waits for it
					notes = got
				}
				return len(notes) > 0 && notes[len(notes)-1] >= most
			})
			if !slices.IsSorted(notes) || len(slices.Compact(notes)) != len(notes) {
				t.Errorf("of %d notes some are out of order, or came twice", len(notes))
			}
		})
	}
}
