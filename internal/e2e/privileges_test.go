package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user that every Linux has, and who may do nothing.
const nobody = 65534

// asNobody has the tree run as nobody, in a directory that nobody owns.
func asNobody(r *running) {
	for _, name := range []string{"", "tree.toml"} {
		if err := os.Chown(filepath.Join(r.dir, name), nobody, nobody); err != nil {
			r.t.Fatal(err)
		}
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

func TestAChildAsSomebodyElse(t *testing.T) {
	t.Parallel()
	root(t)
	r := launch(t, `
[[child]]
name = "report"
command = "exec $E2E_PLAY play report"
user = "nobody"
umask = "0027"
dir = "sub"
env = { GREETING = "hello", FROM_FILE = "the table wins" }
env_file = "report.env"
[[child]]
name = "group"
command = "exec $E2E_PLAY play report"
group = "nogroup"
`, func(r *running) {
		r.write("report.env", "# a comment\nFROM_FILE=the file\nONLY_FILE=\"two words\"\n")
		os.Chmod(r.dir, 0o755)
		os.Mkdir(filepath.Join(r.dir, "sub"), 0o755)
	})
	got := r.reportOf("/report")
	if got.UID != nobody || got.GID != nobody || got.Umask != "0027" || got.Dir != filepath.Join(r.dir, "sub") {
		t.Errorf("it runs as %d:%d with umask %s in %s", got.UID, got.GID, got.Umask, got.Dir)
	}
	for _, group := range got.Groups {
		if group == 0 {
			t.Errorf("it kept root's groups: %v", got.Groups)
		}
	}
	for _, kv := range []string{"GREETING=hello", "FROM_FILE=the table wins", "ONLY_FILE=two words", "USER=nobody", "LOGNAME=nobody"} {
		if !slices.Contains(got.Env, kv) {
			t.Errorf("the environment lacks %s: %q", kv, got.Env)
		}
	}
	if got := r.reportOf("/group"); got.UID != 0 || got.GID != nobody {
		t.Errorf("with a group alone it runs as %d:%d", got.UID, got.GID)
	}
}

func TestWhoIsNotRootCannotBeSomebodyElse(t *testing.T) {
	t.Parallel()
	root(t)
	r := launch(t, `
[[child]]
name = "fine"
command = ["sleep", "1000"]
[[child]]
name = "wants-root"
command = ["sleep", "1000"]
user = "root"
`, asNobody)
	r.endsWith(1)
	if said := r.stderr.String(); !strings.Contains(said, `starting /wants-root: becoming user "root" (tree.toml:8:8): operation not permitted`) {
		t.Errorf("it says\n%s", said)
	}
}

func TestATreeOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	root(t)
	r := boot(t, sleepers, asNobody)
	r.does(0, "restart", "/second")
	r.does(0, "shutdown") // root may do that
	r.endsWith(0)
}

// A socket is its user's alone, whatever its mode says.
func TestAnotherUserMayNotTalkToATree(t *testing.T) {
	t.Parallel()
	root(t)
	r := boot(t, sleepers)
	if info, err := os.Stat(r.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	os.Chmod(r.dir, 0o755)
	for _, mode := range []os.FileMode{0o600, 0o666} {
		os.Chmod(r.socket, mode)
		stranger := r.ask("stop", "/first")
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		finishes(t, stranger, 77)
	}
}
