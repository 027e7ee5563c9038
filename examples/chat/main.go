// Chat is a room and its members, in whatever nodes they live: addresses
// travel inside messages, and a monitor shows who has gone.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/supertrees/supervise/proc"
)

// Member is somebody in the room.
type Member struct {
	Name string
	Addr proc.Addr
}

// Line is what somebody says; To is empty when it is for everyone.
type Line struct{ From, To, Text string }

// The protocol of the room, and of its members.
const (
	Room    proc.Name                      = "room"
	Join    proc.Call[Member, proc.None]   = "join"
	Members proc.Call[proc.None, []string] = "members"
	Say     proc.Cast[Line]                = "say"

	Hear  proc.Cast[Line]                = "hear"
	Heard proc.Call[proc.None, []string] = "heard"
)

func room(s *proc.Server) error {
	var members []Member
	leave := func(gone proc.Addr) {
		members = slices.DeleteFunc(members, func(m Member) bool { return m.Addr == gone })
	}
	Join.Handle(s, func(_ context.Context, m Member) (proc.None, error) {
		members = append(members, m)
		s.Monitor(m.Addr, func(context.Context, proc.Down) error { leave(m.Addr); return nil })
		return proc.None{}, nil
	})
	Members.Handle(s, func(context.Context, proc.None) ([]string, error) {
		var names []string
		for _, m := range members {
			names = append(names, m.Name)
		}
		return names, nil
	})
	Say.Handle(s, func(ctx context.Context, l Line) error {
		var to proc.Addrs
		for _, m := range members {
			if m.Name == l.To || (l.To == "" && m.Name != l.From) {
				to = append(to, m.Addr)
			}
		}
		return Hear.Cast(ctx, to, l)
	})
	return s.Register(Room)
}

// member joins the room under a name and keeps what it hears.
func member(name string) proc.Init {
	return func(s *proc.Server) error {
		var heard []string
		Hear.Handle(s, func(_ context.Context, l Line) error {
			heard = append(heard, fmt.Sprintf("%s: %s", l.From, l.Text))
			return nil
		})
		Heard.Handle(s, func(context.Context, proc.None) ([]string, error) { return heard, nil })
		s.Continue(func(ctx context.Context) error {
			_, err := Join.Call(ctx, Room, Member{name, s.Self()})
			if err != nil {
				s.Stop(err)
			}
			return err
		})
		return nil
	}
}

func main() {
	if len(os.Args) > 1 {
		proc.Main(member(os.Args[1]))
	}
	proc.Main(room)
}
