package fork

// step is one system call of a child between its fork and its exec. The
// assembly knows the offsets.
type step struct {
	number uintptr    // 0
	args   [6]uintptr // 8 to 48
	mode   uintptr    // 56
	want   uintptr    // 64: the result that mustEqual asks for
	failed uintptr    // 72: the errno, written by the child
}

// The modes of a step. Where it fails, the child ends with status 127.
const (
	mustSucceed = 0
	mayFail     = 1
	mustEqual   = 2 // else failed is ESRCH
)

// start makes a process by a clone or clone3 with CLONE_VM and CLONE_VFORK. The
// new process takes the steps that begin at first, the last of which is an
// execve, and touches nothing else: no stack, which is its maker's, and no memory
// but steps[].failed. It returns when the new process has executed or ended; what
// it returns is the pid, or minus an errno.
//
//go:noescape
func start(number, a1, a2, a3, a4, a5 uintptr, first *step) uintptr
