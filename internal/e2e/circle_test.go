package e2e

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/supertrees/supervise/proc"
)

// circle is two workers that ask each other.
const circle = `
[[child]]
name         = "a"
command      = "NEXT=/b exec $E2E_PLAY play circle"
channel      = "frames"
slow_handler = "100ms"

[[child]]
name         = "b"
command      = "NEXT=bob exec $E2E_PLAY play circle"
channel      = "frames"
slow_handler = "100ms"
`

// round goes on to the next so many times, and is answered by the last.
const round proc.Call[int, string] = "round"

// next is one of them. Its handler waits for that of the other.
func next(s *proc.Server) error {
	to := proc.Name(os.Getenv("NEXT"))
	round.Handle(s, func(ctx context.Context, times int) (string, error) {
		if times == 0 {
			return "round", nil
		}
		return round.Call(ctx, to, times-1)
	})
	if to == "/b" {
		return s.Register("bob") // a is called by its name, b by its path
	}
	return nil
}

// A calls B, which calls A, whose handler is busy with waiting for B: both wait
// until the time is over, no longer, and whose time is over first says who it is and
// for whom it has waited.
func TestTwoWorkersThatCallEachOtherTimeOutAndAreBothNamed(t *testing.T) {
	t.Parallel()
	r := boot(t, circle)
	// It gives up first, or is answered by one that has: with the error of its own call.
	if out, err := r.ask("call", "-timeout", "2s", "/a", "round", "2").CombinedOutput(); err == nil || !strings.Contains(string(out), "timeout") {
		t.Errorf("the call: %v, %s", err, out)
	}
	names := regexp.MustCompile(`worker=/a caller=\S+ to=/b method=round|worker=/b caller=\S+ to=bob method=round`)
	r.stderr.await(t, "the log to name both", names.MatchString)
	// Nothing is left of it: neither hangs, and no late answer comes to another call.
	for _, to := range []string{"/a", "/b"} {
		if got := calls[string](r, to, "round", 1); got != "round" {
			t.Errorf("afterwards %s answers %q", to, got)
		}
		if n := calls[proc.Statistics](r, to, "$sys.statistics", nil).Mailbox; n != 0 {
			t.Errorf("in the mailbox of %s wait %d", to, n)
		}
	}
}
