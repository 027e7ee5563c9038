package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the engine reads in /proc. A process that is gone reads as not there,
// never as an error.

// childList reads the pids of this process's children from one descriptor that
// stays open: once per batch of deaths, and it must work when no descriptor is
// to be had.
type childList struct {
	fd  int
	buf []byte
}

// The kernel gives adopted processes to the main thread, and lists with them
// what that thread made, which is nothing: see Spawn.
func openChildList() (childList, error) {
	name := fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return childList{}, fmt.Errorf("opening the list of children %s (is /proc mounted?): %w", name, err)
	}
	return childList{fd: fd, buf: make([]byte, 4096)}, nil
}

// each calls f for every child, living or zombie, in the order in which they
// came.
func (c *childList) each(f func(pid int)) error {
	n := 0
	for {
		if n == len(c.buf) {
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		k, err := syscall.Pread(c.fd, c.buf[n:], int64(n))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the list of children: %w", err)
		}
		if k == 0 {
			break
		}
		n += k
	}
	eachPid(c.buf[:n], f)
	return nil
}

// eachPid reads numbers between blanks or line ends.
func eachPid(text []byte, f func(pid int)) {
	pid := 0
	for _, b := range text {
		if b >= '0' && b <= '9' {
			pid = pid*10 + int(b-'0')
			continue
		}
		if pid > 0 {
			f(pid)
		}
		pid = 0
	}
	if pid > 0 {
		f(pid)
	}
}

// stat is what /proc/PID/stat says.
type stat struct {
	state   byte // 'Z' is a zombie, 0 one that is not there
	parent  int
	group   int
	session int
	threads int
	start   uint64 // clock ticks since boot
}

// dead says that the process is gone or a zombie. One whose first thread has
// ended while others run looks like a zombie, and is none.
func (s stat) dead() bool { return s.state == 0 || s.state == 'Z' && s.threads <= 1 }

// readStat reads a process's stat. The error is a lack of descriptors or
// memory; a process that is not there has the zero stat.
func readStat(pid int) (s stat, err error) {
	var buf [1024]byte
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	if err != nil {
		return s, err
	}
	text = text[bytes.LastIndexByte(text, ')')+1:] // the name may hold anything
	fields := bytes.Fields(text)
	if len(fields) < 20 {
		return s, nil
	}
	s.state = fields[0][0]
	s.parent, _ = strconv.Atoi(string(fields[1]))
	s.group, _ = strconv.Atoi(string(fields[2]))
	s.session, _ = strconv.Atoi(string(fields[3]))
	s.threads, _ = strconv.Atoi(string(fields[17]))
	s.start, _ = strconv.ParseUint(string(fields[19]), 10, 64)
	return s, nil
}

// bootTicks is the present in the unit of stat.start.
func bootTicks() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	const perSecond = 100 // USER_HZ, the same on every Linux that Go runs on
	return uint64(ts.Sec)*perSecond + uint64(ts.Nsec)/(1e9/perSecond)
}

// tag is what a process's environment says of its place in a tree.
type tag struct {
	tree        string
	path        string
	incarnation uint64
	node        bool
}

// tagBound is the most that is read of an environment in search of its tag.
const tagBound = 1 << 20

// readTag reads the tag of a process. None is there in one that cleared its
// environment, nor in one that may not be read.
func readTag(pid int) (t tag, ok bool) {
	name := "/proc/" + strconv.Itoa(pid) + "/environ"
	env, err := readSmall(name, make([]byte, 8<<10))
	if len(env) == 8<<10 {
		env, err = readSmall(name, make([]byte, tagBound))
	}
	if err != nil {
		return t, false
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		name, value, _ := bytes.Cut(kv, []byte{'='})
		switch string(name) {
		case envTree:
			t.tree = string(value)
		case envPath:
			t.path = string(value)
		case envIncarnation:
			t.incarnation, _ = strconv.ParseUint(string(value), 10, 64)
		case envNode:
			t.node = true
		}
	}
	return t, t.tree != ""
}

// readSmall reads a file of /proc into buf, cut off where buf ends. What is not
// there, or not to be read, is empty; an error is a lack of descriptors or memory.
func readSmall(name string, buf []byte) ([]byte, error) {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, lack(err)
	}
	defer syscall.Close(fd)
	n := 0
	for n < len(buf) {
		k, err := syscall.Read(fd, buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, lack(err)
		}
		if k == 0 {
			break
		}
		n += k
	}
	return buf[:n], nil
}

func lack(err error) error {
	if passing(err) {
		return err
	}
	return nil
}

// eachDescendant calls f for every process below pid, parents first, and stops
// at its bound, which the next look after a death makes good.
func eachDescendant(pid int, f func(pid int)) {
	const bound = 10_000
	queue := []int{pid}
	for i := 0; i < len(queue) && i < bound; i++ {
		if i > 0 {
			f(queue[i])
		}
		dir := "/proc/" + strconv.Itoa(queue[i]) + "/task"
		threads, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, t := range threads {
			var buf [4096]byte
			text, _ := readSmall(dir+"/"+t.Name()+"/children", buf[:])
			eachPid(text, func(child int) { queue = append(queue, child) })
		}
	}
}
