package child

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A child is born with default dispositions, an empty mask, the descriptors 0
// to 2, the limits and the umask of whoever started supervise, however careless
// that was.
func TestAChildIsBornClean(t *testing.T) {
	for _, how := range []string{"clean", "careless"} {
		t.Run(how, func(t *testing.T) {
			var out []byte
			var err error
			cmd := exec.Command("sh", "-c", `trap "" PIPE HUP INT TERM TSTP TTOU USR1; ulimit -Sn 512; umask 027; exec "$0" 7</etc/passwd 8>/dev/null`, self(t))
			cmd.Env = append(os.Environ(), "CHILD_TEST_ROLE="+how)
			out, err = cmd.CombinedOutput()
			want := strings.Join([]string{
				"SigBlk:\t0000000000000000",
				"SigIgn:\t0000000000000000",
				"0", "1", "2", "/dev/null", "512", "0027", "",
			}, "\n")
			if err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant\n%s", err, out, want)
			}
		})
	}
}

func TestAChildIsWhatItsSpecSays(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		umask := uint32(0o77)
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o755))
		must(t, os.WriteFile(dir+"/env", []byte("# words\nA=file\nexport B = \"two words\"\n\n"), 0o644))
		var wake [2]int
		must(t, unix.Pipe2(wake[:], unix.O_CLOEXEC))
		defer unix.Close(wake[0])
		a := start(t, e, Spawn{
			Ref: ref("a", 3), Files: []int{-1, -1, wake[1]}, Args: []string{"one", "two"}, Env: []string{"SUPERVISE_SOCKET=/s"},
			Process: &Process{
				Command: []string{"sh", "-c", `umask; pwd; echo $A $B $C; echo "$@" $SUPERVISE_SOCKET$SUPERVISE_INCARNATION; ls -m /proc/$$/fd; echo up >&5; cut -d" " -f5 /proc/$$/stat; echo $$; exec sleep 1000`, "sh"},
				Dir:     dir, Umask: &umask, Env: []string{"A=spec", "C=env"}, EnvFile: []string{dir + "/env"},
			},
		}, "")
		unix.Close(wake[1])
		for _, want := range []string{"0077", dir, "spec two words env", "one two /s3", "0, 1, 2, 5", itoa(a.Pid), itoa(a.Pid)} {
			if got := a.line(t); got != want {
				t.Errorf("it says %q, not %q", got, want)
			}
		}
		var word [8]byte
		if n, _ := unix.Read(wake[0], word[:]); string(word[:n]) != "up\n" {
			t.Errorf("on descriptor 5 it says %q", word[:n])
		}
	})
}

func TestAChildRunsAsAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("running as another user cannot be tried: this is not root")
		}
		t.Skip("NOT TESTED HERE, running as another user: this is not root")
	}
	with(t, Options{}, func(e *Engine) {
		for i, c := range []struct{ user, group, want string }{
			{"nobody", "", "65534 65534 home /nonexistent"},
			{"nobody", "daemon", "65534 1 home /nonexistent"},
			{"4242", "", "4242 4242 home " + os.Getenv("HOME")},
			{"", "daemon", "0 1 home " + os.Getenv("HOME")},
		} {
			a := start(t, e, Spawn{Ref: ref("a", uint64(i)), Process: &Process{
				Command: []string{"sh", "-c", `echo $(id -u) $(id -g) home $HOME`}, User: c.user, Group: c.group,
			}}, "")
			await[Exited](t, e)
			if got := a.line(t); got != c.want {
				t.Errorf("as %q, %q it is %q, not %q", c.user, c.group, got, c.want)
			}
		}
		dir := t.TempDir() // nobody may enter it
		must(t, os.Chmod(dir, 0o700))
		for _, c := range []struct {
			p    Process
			want string
		}{
			{Process{Command: []string{"true"}, User: "nobody", Dir: dir}, "dir"},
			{Process{Command: []string{"/etc/shadow"}, User: "nobody"}, "command"},
			{Process{Command: []string{"true"}, Group: "no-such-group"}, "group"},
			{Process{Command: []string{"true"}, EnvFile: []string{"/dev"}}, "env_file"},
			{Process{Command: []string{"true"}, EnvFile: []string{"/etc/passwd"}}, "env_file"},
			{Process{}, "command"},
		} {
			_, err := e.Spawn(Spawn{Ref: ref("b", 1), Path: "/b", Process: &c.p})
			var failed *StartError
			if !errors.As(err, &failed) || failed.Key != c.want || failed.Passing {
				t.Errorf("%+v: the error is %v, not about %s", c.p, err, c.want)
			}
		}
	})
}

func TestAScriptWithoutItsInterpreterIsToldFromAMissingOne(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		script := filepath.Join(t.TempDir(), "script")
		must(t, os.WriteFile(script, []byte("#!/no/such/shell\n"), 0o755))
		_, err := e.Spawn(Spawn{Ref: ref("a", 1), Path: "/a", Process: &Process{Command: []string{script}}})
		want := `starting /a: command "` + script + `" is there, but not the interpreter that it names: no such file or directory`
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

func TestTheDead(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		start(t, e, Spawn{Ref: ref("a", 1)}, `exit 0`)
		await[Exited](t, e)
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, 0))
		must(t, e.Kill(clock(), ref("a", 1)))
		if err := e.Signal(ref("a", 1), syscall.SIGUSR1); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("signalling the dead: %v", err)
		}
	})
}
