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

// worthCollecting is the number of children, in the whole subtree, from which on
// a collection frees more than it takes for its own work, about half a MiB.
const worthCollecting = 200

// How much garbage is left before the next collection, in percent of what lives
// (GOGC): from the start of a supervisor's process until its tree is up, and then.
const (
	startingPercent = 400 // the first collection waits for 16 MiB
	settledPercent  = 100 // Go's own
)

// Starting is called first thing in a supervisor's process: what is garbage
// before the tree is up is collected once, by Settle.
func Starting() { collectAt(startingPercent) }

// collectAt sets how much garbage is left, unless whoever started the tree has
// said it, with GOGC.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// partsBound is the most parts of the program that Settle gives back: its code
// and its constants are two.
const partsBound = 4

// Settle gives back what only the start of a supervisor's process needed, with
// so many children in all of its subtree: the garbage of reading a configuration,
// and the pages of the program that ran once. A tree is started once and then waits
// for months, in as many processes as it has supervisors.
//
// Settle is a goroutine of its own, which returns when until is closed:
// see giveBackProgram.
func Settle(children int, until <-chan struct{}) {
	if children >= worthCollecting {
		debug.FreeOSMemory()
	}
	collectAt(settledPercent)
	giveBackProgram(until)
}

// giveBackProgram gives back the pages of the program. What is needed again
// comes back from the page cache, 64 KiB at a fault.
//
// It returns when until is closed, which a nil channel never is, and not before:
// the runtime looks up the name of a goroutine that ends, and that alone brings
// half a MiB of its tables and code back.
func giveBackProgram(until <-chan struct{}) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	var parts [partsBound][2]uintptr
	n := 0
	for line := range bytes.Lines(maps) {
		if first, size, ok := programPages(bytes.TrimSpace(line), exe); ok && n < partsBound {
			parts[n] = [2]uintptr{first, size}
			n++
		}
	}
	runtime.Gosched()      // whoever is about to begin does so first: what it needs for that goes too
	for n--; n >= 0; n-- { // the code is the first part: what comes after it, it comes back for
		_, _, _ = syscall.RawSyscall(unix.SYS_MADVISE, parts[n][0], parts[n][1], unix.MADV_DONTNEED)
	}
	<-until
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
