package child

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// OOMKills knows how many processes the kernel has killed for want of memory in the
// cgroup to which the memory of this process is charged, and below it: in a container
// or a unit of systemd that is whatever runs there. The kernel marks no process as
// killed so. But it counts them, before it kills, so that whoever meets a KILL that
// it cannot explain can look whether there is one more.
//
// The zero OOMKills knows of none. One goroutine at a time uses it. It holds one
// descriptor, because to open the file takes eight times as long as to read it, and
// reads only when it is asked.
type OOMKills struct {
	file *os.File // with a line "oom_kill N"; nil: there is none
	seen uint64
}

// WatchOOM begins to count.
func WatchOOM() *OOMKills {
	own, _ := os.ReadFile("/proc/self/cgroup") // what cannot be read names no cgroup
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	k := &OOMKills{}
	if path := oomFile(own, mounts); path != "" {
		k.file, _ = os.Open(path) // nil where it may not be read
	}
	k.seen = k.count()
	return k
}

// Another says whether there was one more since WatchOOM or since it was last said
// that there was. Each is said once, so that two deaths at once are two.
func (k *OOMKills) Another() bool {
	if k.count() <= k.seen {
		return false
	}
	k.seen++
	return true
}

// Since is how many there were since WatchOOM that Another has not said.
func (k *OOMKills) Since() uint64 { return max(k.count(), k.seen) - k.seen }

// count reads the kernel's count; 0 where it tells none.
func (k *OOMKills) count() uint64 {
	var buf [1024]byte
	if k.file == nil {
		return 0
	}
	size, _ := k.file.ReadAt(buf[:], 0)
	for line := range bytes.Lines(buf[:size]) {
		if n, is := bytes.CutPrefix(line, []byte("oom_kill ")); is {
			count, _ := strconv.ParseUint(string(bytes.TrimSpace(n)), 10, 64)
			return count
		}
	}
	return 0
}

// oomFile finds the nearest cgroup at or above this process that counts: of version 2,
// one to which the memory controller was given; of version 1, its own.
func oomFile(own, mounts []byte) string {
	if path, ok := memoryPath(own); ok {
		if mount, below, ok := mounted(mounts, path, "cgroup", "memory"); ok {
			return filepath.Join(mount, below, "memory.oom_control")
		}
		return ""
	}
	path, _ := unifiedPath(own)
	mount, below, ok := mounted(mounts, path, "cgroup2", "")
	for dir := filepath.Join(mount, below); ok && len(dir) >= len(mount); dir = filepath.Dir(dir) {
		file := dir + "/memory.events"
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// memoryPath reads the line "4:cpu,memory:/path" of /proc/PID/cgroup, which is there
// where the memory controller is one of version 1.
func memoryPath(text []byte) (string, bool) {
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), "memory") {
			return f[2], true
		}
	}
	return "", false
}
