package ipc

import (
	"fmt"
	"strconv"
	"strings"
)

// Root is the address of the tree's root, which holds the table of names.
const Root Addr = 1 << 32

// NewAddr is the address of the life with this serial on this node.
func NewAddr(node, serial uint32) Addr { return Addr(node)<<32 | Addr(serial) }

// Node is the number of the node on which the life is; 0 in no address of a life.
func (a Addr) Node() uint32 { return uint32(a >> 32) }

// Serial is the number of the life on its node; 0 is the node itself.
func (a Addr) Serial() uint32 { return uint32(a) }

// String is the address as text and in JSON: "@3.17"; of 0 it is "".
func (a Addr) String() string {
	if a == 0 {
		return ""
	}
	return "@" + strconv.FormatUint(uint64(a.Node()), 10) + "." + strconv.FormatUint(uint64(a.Serial()), 10)
}

// MarshalText is String.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what String writes.
func (a *Addr) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = 0
		return nil
	}
	node, serial, ok := strings.Cut(strings.TrimPrefix(string(b), "@"), ".")
	n, errN := strconv.ParseUint(node, 10, 32)
	s, errS := strconv.ParseUint(serial, 10, 32)
	if b[0] != '@' || !ok || errN != nil || errS != nil || n == 0 {
		return fmt.Errorf("reading the address %.40q: not of the form @NODE.SERIAL", b)
	}
	*a = NewAddr(uint32(n), uint32(s))
	return nil
}
