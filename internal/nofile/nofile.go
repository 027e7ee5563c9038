// Package nofile knows the limit of open files (RLIMIT_NOFILE) that this process
// was started with. Package syscall raises the soft limit when a Go program
// begins, and tells nobody what it was; but a program that uses select(2) must
// not be started with a raised one, so children get the limit of the start.
//
// The package imports nothing. The initialization of a program goes through its
// packages in the order of their paths, each as soon as everything that it imports
// is initialized (Go specification, "Program initialization"): so this one comes
// before syscall.
package nofile

// limit is the kernel's rlimit: soft, hard.
var limit = read()

// AtStart is the limit that this process was started with: 0, 0 if it could not
// be read.
func AtStart() (soft, hard uint64) { return limit[0], limit[1] }

func read() [2]uint64 {
	l := new([2]uint64)
	getrlimit(l)
	return *l
}

// getrlimit is the system call; what it cannot read stays as it is.
//
//go:noescape
func getrlimit(l *[2]uint64)
