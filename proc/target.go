package proc

import (
	"fmt"

	"github.com/supertrees/supervise/ipc"
)

// Target is one whom a call, a cast or a monitor is for: a Name or an Addr.
type Target interface {
	Targets
	wire() (dst ipc.Addr, to string)
}

// Targets is one or many whom a cast is for: a Name, an Addr, Addrs or a Group.
type Targets interface {
	fmt.Stringer
	each(func(dst ipc.Addr, to string) error) error
}

// Name is a registered name, "bank", or the path of a worker, "/shop/bank".
// It stands for whoever has it at the moment of the call.
type Name string

func (n Name) String() string           { return string(n) }
func (n Name) wire() (ipc.Addr, string) { return 0, string(n) }
func (n Name) each(f func(ipc.Addr, string) error) error {
	return f(0, string(n))
}

// Addr is the address of one life of a worker: never of its successor. As
// text and in JSON it is "@3.17", so it travels inside messages. The zero
// value is nobody.
type Addr struct{ a ipc.Addr }

func (a Addr) String() string           { return a.a.String() }
func (a Addr) wire() (ipc.Addr, string) { return a.orNobody(), "" }
func (a Addr) each(f func(ipc.Addr, string) error) error {
	return f(a.orNobody(), "")
}

// nobody is an address that no life has: that of node 2³²-1, serial 2³²-1. A
// 0 on the wire would be the node at the other end.
const nobody = ipc.Addr(1<<64 - 1)

func (a Addr) orNobody() ipc.Addr {
	if a.a == 0 {
		return nobody
	}
	return a.a
}

// MarshalText is String.
func (a Addr) MarshalText() ([]byte, error) { return a.a.MarshalText() }

// UnmarshalText reads what MarshalText writes.
func (a *Addr) UnmarshalText(b []byte) error { return a.a.UnmarshalText(b) }

// IsZero says whether a is nobody's address.
func (a Addr) IsZero() bool { return a.a == 0 }

// Addrs is many lives.
type Addrs []Addr

func (as Addrs) String() string { return fmt.Sprint([]Addr(as)) }
func (as Addrs) each(f func(ipc.Addr, string) error) error {
	for _, a := range as {
		if err := f(a.orNobody(), ""); err != nil {
			return err
		}
	}
	return nil
}

// Group is the members of a group, wherever they are in the tree. The root
// sends a cast on to each who is a member when it gets there.
type Group string

func (g Group) String() string { return "group:" + string(g) }
func (g Group) each(f func(ipc.Addr, string) error) error {
	return f(0, "group:"+string(g))
}
