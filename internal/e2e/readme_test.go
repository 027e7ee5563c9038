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

// A stranger types what the README says, and it works as it says.
func TestWhatTheReadmeSays(t *testing.T) {
	t.Parallel()
	toml, sh := blocks(t, "../../README.md", "toml"), blocks(t, "../../README.md", "sh")
	if len(toml) != 1 || len(sh) != 1 {
		t.Fatalf("the README has %d blocks of TOML and %d of shell", len(toml), len(sh))
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(toml[0], "# "), "\n")
	dir := scratch(t)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(toml[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("bash", "-euxo", "pipefail", "-c", sh[0]+"\nwait $!\necho the tree ended with $?\n")
	shell.Dir = dir
	shell.Env = append(environment(dir, filepath.Base(dir)), "PATH="+filepath.Dir(program())+":"+os.Getenv("PATH"))
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() { syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) })
	stdout, stderr := finishes(t, shell, 0)
	for _, want := range []string{"/web/api ", "/db ", "/web/mailer is ", "the tree ended with 0"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it prints nothing like %q:\n%s\n%s", want, stdout, stderr)
		}
	}
	if left := marked(filepath.Base(dir)); len(left) > 0 {
		t.Errorf("the processes %v are left", left)
	}
}
