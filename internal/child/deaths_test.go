package child

import (
	"syscall"
	"testing"
)

func TestADeathIsAwaitedByOneWhoWaitsAndByTheOneWhoReaps(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		if e.AwaitDeathFor(0) {
			t.Error("a death was seen before there was a child")
		}
		told := make(chan error)
		for n := uint64(1); n <= 3; n++ {
			a := start(t, e, Spawn{Ref: ref("a", n)}, `exec sleep 1000`)
			go func() { told <- e.AwaitDeath() }()
			must(t, syscall.Kill(a.Pid, syscall.SIGKILL))
			must(t, <-told)
			if !e.AwaitDeathFor(patience) {
				t.Error("the death that was told of was not seen")
			}
			if x := dead(t, e); x.Pid != a.Pid {
				t.Errorf("it was %+v, not a", x)
			}
			if e.AwaitDeathFor(0) {
				t.Error("a death was seen after its reaping")
			}
		}
	})
}

// dead is the one life whose end is known at once.
func dead(t *testing.T, e *Engine) Exited {
	t.Helper()
	events := e.ReapDead(clock())
	if len(events) != 1 {
		t.Fatalf("after a death: %+v", events)
	}
	return events[0].(Exited)
}

func TestAStrangerThatEndsWhileNobodyListensIsReapedAfterwards(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		e.Deafen()
		s := start(t, e, Spawn{Ref: ref("a", 1)}, `(setsid sleep 0 &); exit 0`)
		if !e.AwaitDeathFor(patience) {
			t.Error("the end of a was not seen")
		}
		if x := await[Exited](t, e); x.Pid != s.Pid {
			t.Errorf("it was %+v, not a", x)
		}
		e.Hark()
		awaitUntil(t, e, func() bool { return e.Adopted() > 0 })
	})
}

func TestOnlyPagesOfTheProgramThatAreNeverWrittenAreGivenBack(t *testing.T) {
	for line, want := range map[string][2]uintptr{
		"00400000-0079f000 r-xp 00000000 fe:00 9996593    /usr/bin/supervise": {0x400000, 0x39f000},
		"0079f000-00b70000 r--p 0039f000 fe:00 9996593    /usr/bin/supervise": {0x79f000, 0x3d1000},
		"00b70000-00bbc000 rw-p 00770000 fe:00 9996593    /usr/bin/supervise": {},
		"7f1c66eca000-7f1c66ecb000 r--p 00000000 fe:00 12 /usr/lib/libc.so.6": {},
		"c000000000-c000800000 rw-p 00000000 00:00 0":                         {},
		"nonsense r-xp 00000000 fe:00 9996593             /usr/bin/supervise": {},
		"7ffd5c9fa000-7ffd5c9fc000 r-xp 00000000 00:00 0  [vdso]":             {},
		"0079f000-00400000 r-xp 00000000 fe:00 9996593    /usr/bin/supervise": {},
		"": {},
		"00400000-0079f000 r-xp 00000000 fe:00 9996593    /usr/bin/other/supervise": {},
	} {
		first, size, ok := programPages([]byte(line), "/usr/bin/supervise")
		if ok != (want[1] > 0) || ok && (first != want[0] || size != want[1]) {
			t.Errorf("%q: %#x, %#x, %v; want %#x", line, first, size, ok, want)
		}
	}
}
