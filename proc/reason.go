package proc

import (
	"fmt"

	"github.com/supertrees/supervise/ipc"
)

// Class is the kind of a life's end.
type Class uint8

// The classes. NoProc is that of a life that had ended before one asked, or
// never was.
const (
	Normal Class = iota
	Shutdown
	Killed
	Abnormal
	NoProc
)

// classes is the text form of each Class.
var classes = [...]string{"normal", "shutdown", "killed", "abnormal", "noproc"}

func (c Class) String() string {
	if int(c) >= len(classes) {
		return fmt.Sprintf("class %d", uint8(c))
	}
	return classes[c]
}

// UnmarshalText reads what String writes.
func (c *Class) UnmarshalText(b []byte) error {
	for i, word := range classes {
		if word == string(b) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("reading a class of reasons: %.40q is none of normal, shutdown, killed, abnormal, noproc", b)
}

// Reason is how a life ended, or is to end.
type Reason struct {
	Class  Class
	Detail string // "exit: 7", "panic: …"; "": the class says it all
}

func (r Reason) String() string {
	if r.Detail == "" {
		return r.Class.String()
	}
	return r.Class.String() + " (" + r.Detail + ")"
}

// Fault says whether the end was one that a link passes on: not normal, and
// not ordered.
func (r Reason) Fault() bool { return r.Class != Normal && r.Class != Shutdown }

// Down is the end of one life.
type Down struct {
	Addr        Addr
	Path        string
	Incarnation uint64
	Reason      Reason
}

func downOf(d ipc.Down) Down {
	down := Down{Addr: Addr{d.Addr}, Path: d.Path, Incarnation: d.Incarnation, Reason: Reason{Abnormal, d.Detail}}
	if down.Reason.Class.UnmarshalText([]byte(d.Reason)) != nil {
		down.Reason.Detail = d.Reason
	}
	return down
}

// reasonOf is the reason of a server that ends with this error.
func reasonOf(err error) Reason {
	switch err {
	case nil:
		return Reason{Class: Normal}
	case error(ErrShutdown):
		return Reason{Class: Shutdown}
	}
	return Reason{Abnormal, err.Error()}
}
