package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// blocks are the code blocks of a page, in one language.
func blocks(t *testing.T, page, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	return found
}

// A stranger types what the README says, and it works as it says: a first tree.
func TestTheReadmesFirstTree(t *testing.T) {
	t.Parallel()
	toml, sh := blocks(t, "../../README.md", "toml"), blocks(t, "../../README.md", "sh")
	if len(toml) != 1 || len(sh) != 2 {
		t.Fatalf("the README has %d blocks of TOML and %d of shell", len(toml), len(sh))
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(toml[0], "# "), "\n")
	dir := scratch(t)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(toml[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	typed(t, dir, sh[0], "/web/api ", "/db ", "/web/mailer is ")
}

// And the second screen: a worker that answers.
func TestTheReadmesNameServer(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../examples/names/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if code := blocks(t, "../../README.md", "go"); len(code) != 1 || code[0] != string(source) {
		t.Error("the README's name server is not examples/names/main.go")
	}
	t.Cleanup(func() { os.Remove("../../examples/names/names") })
	typed(t, "../..", blocks(t, "../../README.md", "sh")[1], `"At Home"`)
}

// typed runs a block of shell that starts a tree in the background and ends it,
// as a person would type it in dir.
func typed(t *testing.T, dir, block string, prints ...string) {
	t.Helper()
	home := scratch(t)
	shell := exec.Command("bash", "-euxo", "pipefail", "-c", block+"\nwait $!\necho the tree ended with $?\n")
	shell.Dir = dir
	shell.Env = append(environment(home, filepath.Base(home)), "PATH="+filepath.Dir(program())+":"+os.Getenv("PATH"))
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS"} { // not below the new HOME
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		shell.Env = append(shell.Env, name+"="+strings.TrimSpace(string(value)))
	}
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() { syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) })
	stdout, stderr := finishes(t, shell, 0)
	for _, want := range append(prints, "the tree ended with 0") {
		if !strings.Contains(stdout, want) {
			t.Errorf("it prints nothing like %q:\n%s\n%s", want, stdout, stderr)
		}
	}
	if left := marked(filepath.Base(home)); len(left) > 0 {
		t.Errorf("the processes %v are left", left)
	}
}

// Every file that the README points to is there.
func TestTheReadmesLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the README points to %s: %v", m[1], err)
		}
	}
}
