package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Containment by cgroups (version 2): each life has a leaf of its own, in which
// all of its descendants stay, whatever they do to their group, session,
// environment and parents. The kernel kills a leaf at one word, and a leaf that
// can be removed is empty. No controller is used.
//
// An engine whose process stands in such a leaf (a node, or a root below a
// sentinel) makes its leaves there, so that a node's leaf holds its whole
// subtree. The topmost engine makes one group for its leaves first, and holds a
// lock on it: a group without a lock is what a dead tree left.

// leafPrefix begins the name of every cgroup that supervise makes.
const leafPrefix = "supervise-"

// The bounds of waiting for a cgroup.
const (
	// sweepBound is how long the start waits for the end of what a dead tree left.
	sweepBound = 2 * time.Second
	// leafPause is how soon an occupied leaf without known occupants is looked
	// at again; it doubles up to leafPauseMost.
	leafPause     = time.Millisecond
	leafPauseMost = 100 * time.Millisecond
	// leafName is the most of a child's name that a leaf's name shows.
	leafName = 100
)

// cgroups is where an engine makes its leaves.
type cgroups struct {
	dir   string // of the leaves
	path  string // dir as /proc/PID/cgroup writes it
	group bool   // dir was made here, and is removed here
	lock  int    // the lock on the group, or -1
	names uint64 // leaves made so far
	lives map[string]*life
}

// openCgroups finds out whether leaves can be made, and makes the group.
// The error says why they cannot, as a part of a sentence.
func openCgroups(treeName string) (*cgroups, error) {
	mount, path, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	c := &cgroups{dir: filepath.Join(mount, path), path: path, lock: -1, lives: map[string]*life{}}
	if strings.HasPrefix(filepath.Base(path), leafPrefix) {
		return c, c.usable()
	}
	if err := delegated(c.dir); err != nil {
		return nil, err
	}
	if err := c.usable(); err != nil {
		return nil, err
	}
	if err := c.makeGroup(leafPrefix + treeName[strings.LastIndexByte(treeName, ';')+1:]); err != nil {
		return nil, err
	}
	c.sweep()
	return c, nil
}

// ownCgroup is where this process stands in the hierarchy: the place where
// that is mounted, and the path from there.
func ownCgroup() (mount, path string, err error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", errors.New("/proc/self/cgroup cannot be read")
	}
	path, ok := unifiedPath(own)
	if !ok {
		return "", "", errors.New("the kernel has no cgroups of version 2")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", errors.New("/proc/self/mountinfo cannot be read")
	}
	if mount, path, ok = mounted(mounts, path, "cgroup2", ""); !ok {
		return "", "", errors.New("no cgroup2 file system is mounted where this process stands")
	}
	return mount, path, nil
}

// mounted is where a cgroup can be seen, by /proc/self/mountinfo: the place where its
// hierarchy is mounted, and the path from there. The hierarchy is a file system of a
// kind, with a controller among its options unless that is "".
func mounted(mounts []byte, path, kind, controller string) (mount, below string, ok bool) {
	for line := range strings.Lines(string(mounts)) {
		// 41 31 0:38 /root /mount/point rw,relatime - cgroup2 cgroup2 rw
		before, after, _ := strings.Cut(line, " - ")
		f, of := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(of) < 3 || of[0] != kind || controller != "" && !slices.Contains(strings.Split(of[2], ","), controller) {
			continue
		}
		below, ok = strings.CutPrefix(path, strings.TrimSuffix(f[3], "/"))
		if ok && (below == "" || below[0] == '/') && !strings.HasPrefix(below, "/..") {
			return f[4], below, true
		}
	}
	return "", "", false
}

// unifiedPath reads the line "0::/path" of /proc/PID/cgroup.
func unifiedPath(text []byte) (string, bool) {
	for line := range bytes.Lines(text) {
		if path, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			return string(bytes.TrimSuffix(path, []byte("\n"))), true
		}
	}
	return "", false
}

// delegated says whether this cgroup is anybody's to divide: where systemd owns
// the hierarchy, only below a unit with Delegate=yes.
func delegated(dir string) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil
	}
	for _, name := range [...]string{"user.delegate", "trusted.delegate"} {
		var value [8]byte
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return nil
		}
	}
	return fmt.Errorf("systemd owns %s and has not delegated it (Delegate=yes)", dir)
}

// usable tries a leaf out.
func (c *cgroups) usable() error {
	if err := unix.Access(c.dir+"/cgroup.procs", unix.W_OK); err != nil {
		return fmt.Errorf("processes cannot be moved below %s: %w", c.dir, err)
	}
	trial := c.dir + "/" + leafPrefix + "trial-" + strconv.Itoa(os.Getpid())
	if err := os.Mkdir(trial, 0o755); err != nil {
		return fmt.Errorf("no cgroup can be made below %s: %w", c.dir, cause(err))
	}
	defer c.discard(trial)
	if kind, err := os.ReadFile(trial + "/cgroup.type"); err != nil || string(bytes.TrimSpace(kind)) != "domain" {
		return fmt.Errorf("cgroups below %s cannot hold processes", c.dir)
	}
	if err := unix.Access(trial+"/cgroup.kill", unix.W_OK); err != nil {
		return errors.New("the kernel has no cgroup.kill (Linux 5.14)")
	}
	// Docker's seccomp filter says ENOSYS; the kernel itself finds fault with the arguments.
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); errno == syscall.ENOSYS || errno == syscall.EPERM {
		return errors.New("clone3 is forbidden here, so that no process can be made in a cgroup")
	}
	return nil
}

func cause(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return err
}

// makeGroup makes the group of the topmost engine and locks it. Between the two
// another tree's sweep may take it away, so it is made again, a few times.
func (c *cgroups) makeGroup(name string) error {
	const tries = 5
	dir := filepath.Join(c.dir, name)
	for range tries {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("no cgroup can be made below %s: %w", c.dir, cause(err))
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue
		}
		var mine, there syscall.Stat_t
		if syscall.Fstat(lock, &mine) == nil && syscall.Stat(dir, &there) == nil && mine.Ino == there.Ino {
			c.path = strings.TrimSuffix(c.path, "/") + "/" + name
			c.dir, c.group, c.lock = dir, true, lock
			return nil
		}
		syscall.Close(lock)
	}
	return fmt.Errorf("the cgroup %s cannot be locked", dir)
}

func lockDir(dir string) (fd int, err error) {
	fd, err = syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sweep ends what dead trees left beside this one's group.
func (c *cgroups) sweep() {
	beside := filepath.Dir(c.dir)
	entries, _ := os.ReadDir(beside)
	for _, e := range entries {
		dir := filepath.Join(beside, e.Name())
		if !e.IsDir() || dir == c.dir || !strings.HasPrefix(e.Name(), leafPrefix) {
			continue
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue // it lives, or is none of ours
		}
		killCgroup(dir)
		awaitEmpty(dir, sweepBound)
		c.discard(dir)
		syscall.Close(lock)
	}
}

// awaitEmpty waits until no process is left in a cgroup, within its bound.
func awaitEmpty(dir string, bound time.Duration) {
	fd, err := syscall.Open(dir+"/cgroup.events", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	for until := time.Now().Add(bound); time.Now().Before(until); {
		var buf [256]byte
		n, err := syscall.Pread(fd, buf[:], 0)
		if err != nil || !bytes.Contains(buf[:n], []byte("populated 1")) {
			return
		}
		changed := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(changed, int(time.Until(until)/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return
		}
	}
}

// close gives the group back. What is in use stays.
func (c *cgroups) close() {
	if c.group {
		c.discard(c.dir)
		syscall.Close(c.lock)
	}
}

// makeLeaf makes the leaf of a life. fd names it for clone, the caller's to close.
func (c *cgroups) makeLeaf(id string) (name string, fd int, err error) {
	c.names++
	name = leafPrefix + strconv.FormatUint(c.names, 10) + "." + id[:min(len(id), leafName)]
	dir := c.dir + "/" + name
	if err := syscall.Mkdir(dir, 0o755); err != nil && err != syscall.EEXIST {
		return "", -1, err
	}
	fd, err = syscall.Open(dir, unix.O_PATH|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		c.discard(dir)
		return "", -1, err
	}
	return name, fd, nil
}

// remove takes a leaf away in which no process was made after all.
func (c *cgroups) remove(leaf string) { c.discard(c.dir + "/" + leaf) }

// discard removes a cgroup that should be empty. One that is not stays, and the
// next start sweeps it.
func (c *cgroups) discard(dir string) { _ = removeCgroup(dir) }

// owner is the living or dead life in whose leaf a process stands.
func (c *cgroups) owner(pid int) *life {
	var buf [4096]byte
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/cgroup", buf[:])
	if err != nil {
		return nil
	}
	path, _ := unifiedPath(text)
	below, ok := strings.CutPrefix(path, strings.TrimSuffix(c.path, "/")+"/")
	if !ok {
		return nil
	}
	name, _, _ := strings.Cut(below, "/")
	return c.lives[name]
}

// empty removes a life's leaf if nothing is left in it, and says whether that is so.
func (c *cgroups) empty(l *life) bool {
	dir := c.dir + "/" + l.leaf
	err := syscall.Rmdir(dir)
	if err == syscall.EBUSY && !populated(dir) {
		err = removeCgroup(dir)
	}
	if err != nil && err != syscall.ENOENT {
		return false
	}
	delete(c.lives, l.leaf)
	return true
}

// kill ends everything in a life's leaf.
func (c *cgroups) kill(l *life) { killCgroup(c.dir + "/" + l.leaf) }

func killCgroup(dir string) {
	fd, err := syscall.Open(dir+"/cgroup.kill", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = syscall.Write(fd, []byte("1")) // that it worked is seen by its being empty
	syscall.Close(fd)
}

// populated says whether a living process stands in a cgroup or below it.
func populated(dir string) bool {
	var buf [256]byte
	text, err := readSmall(dir+"/cgroup.events", buf[:])
	return err != nil || bytes.Contains(text, []byte("populated 1"))
}

// removeCgroup removes an empty cgroup and those below it.
func removeCgroup(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = removeCgroup(dir + "/" + e.Name()) // then the last one fails, and says so
		}
	}
	return syscall.Rmdir(dir)
}

// cgroupPids are the processes in a cgroup and below it.
func cgroupPids(dir string) (pids []int) {
	text, _ := os.ReadFile(dir + "/cgroup.procs")
	eachPid(text, func(pid int) { pids = append(pids, pid) })
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			pids = append(pids, cgroupPids(dir+"/"+e.Name())...)
		}
	}
	return pids
}
