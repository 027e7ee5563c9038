package child

import (
	"strings"
	"syscall"
	"testing"

	"github.com/supertrees/supervise/tree"
)

func TestAChildRunsAndItsEndIsSeen(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		ref := tree.Ref{ID: "a", Incarnation: 7}
		s, err := e.Spawn(Spawn{Ref: ref, Path: "/a", Process: &Process{
			Command: []string{"sh", "-c", "echo $SUPERVISE_PATH $SUPERVISE_INCARNATION $GREETING; exit 3"},
			Env:     []string{"GREETING=hello"},
		}})
		must(t, err)
		x := await[Exited](t, e)
		if x.Ref != ref || x.Pid != s.Pid || x.Status.ExitStatus() != 3 {
			t.Errorf("the exit is %+v", x)
		}
		if out := readAll(s.Stdout); out != "/a 7 hello\n" {
			t.Errorf("it printed %q", out)
		}
		if out := readAll(s.Stderr); out != "" {
			t.Errorf("its errors are %q", out)
		}
	})
}

func TestAChildIsStoppedAndKilled(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		for _, ordered := range []Order{Terminated, Killed} {
			ref := tree.Ref{ID: "a", Incarnation: uint64(ordered)}
			s, err := e.Spawn(Spawn{Ref: ref, Path: "/a", Process: &Process{Command: []string{"sleep", "1000"}}})
			must(t, err)
			if ordered == Killed {
				must(t, e.Kill(clock(), ref))
			} else {
				must(t, e.Terminate(clock(), ref, syscall.SIGTERM, 0))
			}
			x := await[Exited](t, e)
			if x.Order != ordered || !x.Status.Signaled() {
				t.Errorf("after %v the exit is %+v", ordered, x)
			}
			readAll(s.Stdout)
			readAll(s.Stderr)
		}
	})
}

func TestAFailedStartNamesTheKeyAndThePlace(t *testing.T) {
	with(t, Options{}, func(e *Engine) {
		places := Places{{"command", "web.toml:12:13"}, {"dir", "web.toml:13:7"}, {"user", "web.toml:14:8"}}
		for _, c := range []struct {
			p    Process
			want string
		}{
			{Process{Command: []string{"./api"}}, `starting /web/api: command "./api" (web.toml:12:13): no such file or directory`},
			{Process{Command: []string{"no-such-command"}}, `starting /web/api: command "no-such-command" (web.toml:12:13): no such file or directory in PATH`},
			{Process{Command: []string{"true"}, Dir: "/no/such"}, `starting /web/api: dir "/no/such" (web.toml:13:7): no such file or directory`},
			{Process{Command: []string{"true"}, User: "nobody-at-all"}, `starting /web/api: user "nobody-at-all" (web.toml:14:8): there is no such user`},
			{Process{Command: []string{"/etc/passwd"}}, `starting /web/api: command "/etc/passwd" (web.toml:12:13): permission denied`},
		} {
			c.p.Places = places
			_, err := e.Spawn(Spawn{Ref: tree.Ref{ID: "api", Incarnation: 1}, Path: "/web/api", Process: &c.p})
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if strings.Contains(c.want, "such") && err.(*StartError).Passing {
				t.Errorf("%v is said to pass by itself", err)
			}
		}
	})
}
