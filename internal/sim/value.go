package sim

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/supertrees/supervise/tree"
)

// value writes the answer of a request as a trace shows it.
func (t *trace) value(call *Call, a Answer) string {
	switch {
	case a.Exit != "":
		return quote("exit:" + a.Exit)
	case a.Err != "":
		return quote("error:" + a.Err)
	case a.Counts != nil:
		return counts(a.Counts)
	case a.Spec != nil:
		return spec(a.Spec)
	case call == nil:
		return `"ok"`
	}
	switch call.Op {
	case OpWhichChildren:
		return t.children(call.Sup, a)
	case OpStartChild, OpRestartChild:
		if a.Child.Incarnation == 0 {
			return `"ok:undefined"`
		}
		path := call.Sup + "/" + a.Child.ID
		return quote("ok:" + path + "#" + strconv.Itoa(t.lives[life{path, a.Child.Incarnation}]))
	default:
		return `"ok"`
	}
}

func counts(n *tree.Counts) string {
	return object(nil).num("specs", n.Specs).num("active", n.Active).
		num("supervisors", n.Supervisors).num("workers", n.Workers).end()
}

func spec(c *tree.ChildSpec) string {
	shutdown := quote(c.Shutdown.Mode.String())
	if c.Shutdown.Mode == tree.StopTime {
		shutdown = strconv.FormatInt(int64(c.Shutdown.Time/time.Millisecond), 10)
	}
	return object(nil).str("id", c.ID).str("restart", c.Restart.String()).raw("shutdown", shutdown).
		str("type", c.Kind.String()).raw("significant", strconv.FormatBool(c.Significant)).end()
}

// children writes which_children: in reverse start order, as it came; of a
// simple_one_for_one supervisor, which has none, by label, what is restarting first.
func (t *trace) children(sup string, a Answer) string {
	infos := a.Children
	if a.Simple {
		infos = slices.Clone(infos)
		slices.SortFunc(infos, func(a, b tree.ChildInfo) int {
			ra, rb := a.State == "restarting", b.State == "restarting"
			if ra != rb {
				return cmp.Compare(b2i(rb), b2i(ra))
			}
			return cmp.Compare(a.Ref.ID, b.Ref.ID)
		})
	}
	out := []byte{'['}
	for i, c := range infos {
		if i > 0 {
			out = append(out, ',')
		}
		inc, id := 0, quote(c.Ref.ID)
		if c.State == "running" {
			inc = t.lives[life{sup + "/" + c.Ref.ID, c.Ref.Incarnation}]
		} else if a.Simple {
			id = "null"
		}
		out = append(append(append(out, '['), id...), ',')
		out = append(append(out, quote(c.State)...), ',')
		out = append(strconv.AppendInt(out, int64(inc), 10), ',')
		out = append(append(out, quote(c.Kind.String())...), ']')
	}
	return string(append(out, ']'))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
