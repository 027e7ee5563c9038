package child

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// cgroupFiles is a file system like that of a machine's cgroups, with these files in it.
func cgroupFiles(t *testing.T, files map[string]string) (mount string) {
	t.Helper()
	mount = t.TempDir()
	for name, text := range files {
		must(t, os.MkdirAll(filepath.Join(mount, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(mount, name), []byte(text), 0o644))
	}
	return mount
}

func TestWhereWantOfMemoryIsCounted(t *testing.T) {
	const unified, memory = "41 31 0:38 %s %s rw,relatime - cgroup2 cgroup2 rw\n", "39 31 0:36 %s %s rw - cgroup cgroup rw,cpu,memory\n"
	both := cgroupFiles(t, map[string]string{
		"unit/memory.events":             "oom 1\noom_kill 1\n",
		"unit/supervise-x/cgroup.events": "populated 1\n", // it has no controller
		"memory.oom_control":             "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"memory.events":                  "oom_kill 7\n",
	})
	for _, x := range []struct{ own, mounts, want string }{
		{"0::/unit/supervise-x/supervise-1.root\n", fmt.Sprintf(unified, "/", both), "/unit/memory.events"},
		{"0::/\n", fmt.Sprintf(unified, "/", both), "/memory.events"},                               // a namespace of its own
		{"0::/docker/abc/unit\n", fmt.Sprintf(unified, "/docker/abc", both), "/unit/memory.events"}, // or none
		{"4:cpu,memory:/docker/abc\n0::/\n", fmt.Sprintf(memory, "/docker/abc", both), "/memory.oom_control"},
		{"4:cpu,memory:/elsewhere\n0::/\n", fmt.Sprintf(memory, "/docker/abc", both), ""},
		{"4:pids:/\n0::/nowhere\n", fmt.Sprintf(unified, "/docker", both), ""},
		{"", "", ""},
		{"::\n0::\n4:memory\n", "a b - cgroup\n - cgroup2 x y\n", ""},
	} {
		want := x.want
		if want != "" {
			want = both + want
		}
		if got := oomFile([]byte(x.own), []byte(x.mounts)); got != want {
			t.Errorf("of %q in %q it is %q, want %q", x.own, x.mounts, got, want)
		}
	}
}

func TestEachWantOfMemoryIsSaidOnce(t *testing.T) {
	dir := cgroupFiles(t, map[string]string{"memory.events": "low 0\noom 4\noom_kill 4\noom_group_kill 9\n"})
	file, err := os.Open(dir + "/memory.events")
	must(t, err)
	defer file.Close()
	k := &OOMKills{file: file}
	k.seen = k.count()
	if k.Another() || k.Since() != 0 {
		t.Error("what was before counts")
	}
	must(t, os.WriteFile(file.Name(), []byte("oom 6\noom_kill 6\n"), 0o644))
	if k.Since() != 2 || !k.Another() || !k.Another() || k.Another() || k.Since() != 0 {
		t.Errorf("two more were told wrongly: %+v", k)
	}
	must(t, os.Truncate(file.Name(), 0)) // as with a cgroup that is gone
	if (&OOMKills{}).Another() || k.Another() || k.Since() != 0 {
		t.Error("without a count there is one more")
	}
}
