package ipc

import (
	"math"
	"testing"
)

func TestSerialsThatComeAgainAreNobodys(t *testing.T) {
	d := newDeck(t)
	first := d.sw.AddWorker("/first", 1, true)
	d.sw.serial = math.MaxUint32 - 1
	for i, want := range []uint32{math.MaxUint32, 2, 3} { // 0 is the node, and 1 is taken
		l := d.sw.AddWorker("/w", uint64(i), true)
		if got := l.Addr(); got != NewAddr(first.Addr().Node(), want) {
			t.Errorf("life %d has the address %v, want the serial %d", i, got, want)
		}
	}
	if d.sw.lives[first.Addr().Serial()] != first {
		t.Error("the first one has lost its address")
	}
}
