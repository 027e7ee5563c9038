package child

import (
	"syscall"
	"testing"
	"time"
)

func TestTheEndOfOneChildIsAwaitedAndTakenAlone(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `exec sleep 1000`)
		b := start(t, e, Spawn{Ref: ref("b", 1)}, `exec sleep 1000`)
		if e.Await(ref("a", 1), time.Millisecond) {
			t.Error("the end of a was seen before it came")
		}
		must(t, syscall.Kill(b.Pid, syscall.SIGKILL))
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, 0))
		if !e.Await(ref("a", 1), patience) {
			t.Error("the end of a was not seen")
		}
		events := e.ReapOne(clock(), ref("a", 1))
		if len(events) != 1 {
			t.Errorf("after a's end: %+v", events)
		} else if x, ok := events[0].(Exited); !ok || x.Pid != a.Pid || x.Order != Terminated {
			t.Errorf("after a's end: %+v", events[0])
		}
		if more := e.ReapOne(clock(), ref("a", 1)); len(more) > 0 {
			t.Errorf("a ended twice: %+v", more)
		}
		if x := await[Exited](t, e); x.Pid != b.Pid {
			t.Errorf("then came %+v, not b", x)
		}
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
