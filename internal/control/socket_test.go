package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func listenAt(t *testing.T, path string) *Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestASocketIsForItsUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "s.sock")
	l := listenAt(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	l.Close()
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALiveSocketIsNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	listenAt(t, path)
	if _, err := Listen(path); !errors.Is(err, ErrRuns) {
		t.Errorf("a second tree: %v", err)
	}
	if _, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first tree: %v", err)
	}
}

func TestASocketOfAnotherProgramIsNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Listen(path); !errors.Is(err, ErrRuns) {
		t.Errorf("over a live listener without a lock: %v", err)
	}
}

func TestAStaleSocketIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as a killed tree leaves it
	os.WriteFile(path+".lock", nil, 0o600)
	listenAt(t, path)
	if _, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	os.WriteFile(path, []byte("precious"), 0o600)
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q", text)
	}
}

func TestOnlyOneOfManyGetsTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	results := make(chan error)
	got := make(chan *Listener, 16)
	for range 16 {
		go func() {
			l, err := Listen(path)
			if err == nil {
				got <- l
			}
			results <- err
		}()
	}
	won := 0
	for range 16 {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, ErrRuns):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 16 got it", won)
	}
	(<-got).Close()
}

// environment is a getenv for tests.
func environment(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestWhereATreeHasItsSocket(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		story, flag, config string
		env                 []string
		want                string
	}{
		{"the flag is first", at("flag"), at("config"), []string{"SUPERVISE_SOCKET", at("env")}, at("flag")},
		{"then the environment", "", at("config"), []string{"SUPERVISE_SOCKET", at("env")}, at("env")},
		{"but not an outer tree's", "", at("config"), []string{"SUPERVISE_SOCKET", at("env"), "SUPERVISE_PATH", "/a"}, at("config")},
		{"then the configuration", "", at("config"), []string{"XDG_RUNTIME_DIR", dir}, at("config")},
		{"then the runtime directory", "", "", []string{"RUNTIME_DIRECTORY", dir + ":/other", "XDG_RUNTIME_DIR", "/none"}, at("supervise/shop.sock")},
		{"and another if that cannot be", "", "", []string{"RUNTIME_DIRECTORY", "/proc/none", "XDG_RUNTIME_DIR", dir}, at("supervise/shop.sock")},
	} {
		l, _, err := Claim(c.flag, c.config, "shop", environment(c.env...))
		if err != nil {
			t.Errorf("%s: %v", c.story, err)
			continue
		}
		if l.Path != c.want {
			t.Errorf("%s: %s, want %s", c.story, l.Path, c.want)
		}
		l.Close()
	}
	if _, chosen, err := Claim("/proc/none/s", "", "shop", environment()); err == nil || !chosen {
		t.Errorf("an impossible choice: chosen %v, %v", chosen, err)
	}
}

func TestAClientFindsTheOnlyTree(t *testing.T) {
	dir := t.TempDir()
	getenv := environment("XDG_RUNTIME_DIR", dir, "RUNTIME_DIRECTORY", dir+"/service")
	one := listenAt(t, filepath.Join(dir, "supervise", "one.sock"))
	os.WriteFile(filepath.Join(dir, "supervise", "dead.sock"), nil, 0o600)
	if path, err := Find("", "", getenv); err != nil || path != one.Path {
		t.Errorf("found %s, %v", path, err)
	}
	listenAt(t, filepath.Join(dir, "service", "supervise", "two.sock"))
	if _, err := Find("", "", getenv); !errors.Is(err, ErrWhich) || !strings.Contains(err.Error(), "two.sock") {
		t.Errorf("of two: %v", err)
	}
	if path, err := Find("", "/configured", getenv); err != nil || path != "/configured" {
		t.Errorf("configured: %s, %v", path, err)
	}
}

func TestADirectoryThatOthersOwnIsNotPermitted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("NOT RUN IN FULL: changing the user of a client needs root")
		return
	}
	dir := t.TempDir()
	l := listenAt(t, filepath.Join(dir, "s.sock"))
	os.Chmod(l.Path, 0o666) // as if its mode did not keep others out
	for at := dir; at != "/"; at = filepath.Dir(at) {
		os.Chmod(at, 0o755)
	}
	f := &fake{}
	server := Serve(f, l)
	defer server.Close()
	// A thread's own credentials count when it connects.
	done := make(chan error)
	go asNobody(func() {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: l.Path})
		}
		if err == nil {
			unix.Write(fd, []byte("GET /v1/status HTTP/1.1\r\n\r\n"))
			answer := make([]byte, 4096)
			n, _ := unix.Read(fd, answer)
			if !strings.Contains(string(answer[:n]), " 403 ") {
				err = errors.New(string(answer[:n]))
			}
		}
		done <- err
	})
	if err := <-done; err != nil {
		t.Errorf("another user's request: %v", err)
	}
}
