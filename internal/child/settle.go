package child

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// processors is the most that a supervisor runs on at once: one for its own
// goroutine, one for what moves bytes beside it. Each further one would take
// memory in every node, for nothing.
const processors = 2

// LimitProcessors sets GOMAXPROCS, only where that changes it: to set it takes
// 200 KiB, once and for ever.
func LimitProcessors() {
	if runtime.GOMAXPROCS(0) > processors {
		runtime.GOMAXPROCS(processors)
	}
}

// worthCollecting is the number of children from which on a collection frees
// more than it takes for its own work, about half a MiB.
const worthCollecting = 200

// Settle gives back what only the start of this process, with so many children,
// needed: the garbage of reading a configuration, and the pages of the program
// that ran once. What is needed again comes back from the page cache, 64 KiB at
// a fault. A tree is started once and then waits for months, in as many
// processes as it has supervisors.
func Settle(children int) {
	if children >= worthCollecting {
		debug.FreeOSMemory()
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		if first, size, ok := programPages(bytes.TrimSpace(line), exe); ok {
			_, _, _ = syscall.Syscall(unix.SYS_MADVISE, first, size, unix.MADV_DONTNEED)
		}
	}
}

// programPages is the memory that a line of /proc/self/maps describes, if it is
// a part of the program that is never written:
//
//	00400000-0079f000 r-xp 00000000 fe:00 9996593    /usr/bin/supervise
func programPages(line []byte, exe string) (first, size uintptr, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 6 || !bytes.HasSuffix(line, []byte(exe)) || f[1][1] == 'w' {
		return 0, 0, false
	}
	from, to, _ := bytes.Cut(f[0], []byte("-"))
	begin, err := strconv.ParseUint(string(from), 16, 64)
	end, err2 := strconv.ParseUint(string(to), 16, 64)
	if err != nil || err2 != nil || begin >= end {
		return 0, 0, false
	}
	return uintptr(begin), uintptr(end - begin), true
}
