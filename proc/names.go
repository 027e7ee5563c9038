package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/supertrees/supervise/ipc"
)

// verb makes a call of the protocol itself.
func (s *Server) verb(ctx context.Context, to Target, method string, req, rep any) error {
	m := ipc.Message{Type: ipc.Call, Method: method}
	where := ""
	if to != nil {
		m.Dst, m.To = to.wire()
		m.About, where = true, to.String()
	} else {
		m.Dst = ipc.Root
	}
	if req != nil {
		m.Codec, m.Payload = ipc.CodecJSON, mustJSON(req)
	}
	a := s.ch.roundTrip(ctx, &m, method != ipc.VerbMonitor)
	switch {
	case a.code != "":
		return &CallError{To: where, Method: method, Code: a.code, Message: a.message}
	case a.failed:
		return callError(where, method, a.body)
	case rep == nil:
		return nil
	}
	if err := json.Unmarshal(a.body, rep); err != nil {
		return &CallError{To: where, Method: method, Code: ErrBadReply, Message: err.Error()}
	}
	return nil
}

// WhereIs is the address of the life that a name or a path stands for now.
func WhereIs(ctx context.Context, to Target) (Addr, error) {
	s, err := serverOf(ctx)
	if err != nil {
		return Addr{}, err
	}
	var place ipc.Place
	err = s.verb(ctx, to, ipc.VerbWhereIs, nil, &place)
	return Addr{place.Addr}, err
}

// Registered is all names of the tree, sorted.
func Registered(ctx context.Context) ([]Name, error) {
	s, err := serverOf(ctx)
	if err != nil {
		return nil, err
	}
	var names []Name
	err = s.verb(ctx, nil, ipc.VerbRegistered, nil, &names)
	return names, err
}

// Members is who has joined a group, in the order of joining; nobody is no
// error.
func Members(ctx context.Context, g Group) (Addrs, error) {
	s, err := serverOf(ctx)
	if err != nil {
		return nil, err
	}
	var members Addrs
	err = s.verb(ctx, nil, ipc.VerbMembers, ipc.Name{Name: string(g)}, &members)
	return members, err
}

// Wait waits until to ends, without limit but ctx's, and says how. If nobody
// is there it returns at once, with the class NoProc and no error.
func Wait(ctx context.Context, to Target) (Down, error) {
	s, err := serverOf(ctx)
	if err != nil {
		return Down{}, err
	}
	var down ipc.Down
	err = s.verb(ctx, to, ipc.VerbMonitor, nil, &down)
	if isCode(err, ErrNoProc) {
		return nobodyDown(to), nil
	}
	return downOf(down), err
}

// isCode says whether err is a call's own code, which no wrapped error is.
func isCode(err error, code Error) bool {
	call, ok := err.(*CallError)
	return ok && call.Code == code
}

func nobodyDown(to Target) Down {
	d := Down{Reason: Reason{Class: NoProc}}
	switch to := to.(type) {
	case Addr:
		d.Addr = to
	case Name:
		if to != "" && to[0] == '/' {
			d.Path = string(to)
		}
	}
	return d
}

// Register gives this life a name in the whole tree: when it returns nil,
// everyone who hears of it finds it. The name is gone with this life. It
// returns ErrAlreadyRegistered if another has it, or this one, ErrNotPermitted
// over 1,024 names and groups of one life, and ErrBadRequest for what is no name:
// 1 to 255 bytes that do not begin with "/", "@", "$" or "group:".
func (s *Server) Register(n Name) error {
	return s.named(ipc.VerbRegister, string(n))
}

// Unregister gives a name back; it is no error if this life does not have it.
func (s *Server) Unregister(n Name) error {
	err := s.named(ipc.VerbUnregister, string(n))
	if isCode(err, ErrNoProc) {
		return nil
	}
	return err
}

// Join makes this life a member of a group, until it leaves or ends. Twice is
// once. It returns ErrNotPermitted over 1,024 names and groups of one life, or
// 65,536 groups in the tree.
func (s *Server) Join(g Group) error { return s.named(ipc.VerbJoin, string(g)) }

// Leave is the opposite of Join; it is no error if this life is no member.
func (s *Server) Leave(g Group) error {
	err := s.named(ipc.VerbLeave, string(g))
	if isCode(err, ErrNoProc) {
		return nil
	}
	return err
}

func (s *Server) named(method, name string) error {
	err := s.verb(s.base(), nil, method, ipc.Name{Name: name}, nil)
	if call, ok := err.(*CallError); ok {
		call.To = name
	}
	return err
}

// didYouMean is a hint at the name that is nearest to a wrong one, or "".
func didYouMean(wrong string, names []string) string {
	best, most := "", max(len(wrong)/3, 1)+1
	for _, name := range names {
		if d := distance(wrong, name); d < most {
			best, most = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + slices.Min([]int{diagonal, row[j], row[j+1]})
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
