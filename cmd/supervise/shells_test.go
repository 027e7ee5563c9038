package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each shell really runs its script, against a tree that really runs.
func TestTheShellsComplete(t *testing.T) {
	t.Parallel()
	r := boot(t, team)
	ask := map[string]string{
		"bash": `source <(supervise completion bash)
			try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _supervise; printf '%s\n' "${COMPREPLY[@]}"; }`,
		"zsh": `compdef() { }; _files() { print -- files }; compadd() { shift; print -l -- "$@" }
			source <(supervise completion zsh)
			try() { words=("$@"); CURRENT=$#; _supervise }`,
		"fish": `supervise completion fish | source
			function try; complete -C (string join ' ' -- $argv) | string replace -r '\t.*' ''; end`,
	}
	for _, shell := range shells {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Errorf("%s is not here: .ci/needs installs it", shell)
			continue
		}
		for _, x := range []struct{ line, want string }{
			{"try supervise stop /web", "/web\n/web/api\n"},
			{"try supervise wh", "why\n"},
			{"try supervise wait -for r", "ready\n"},
			{"try supervise stop --no-w", "--no-wait\n"},
		} {
			cmd := exec.Command(path, "-c", ask[shell]+"\n"+x.line)
			if shell == "zsh" {
				cmd.Args = append([]string{path, "-f"}, cmd.Args[1:]...)
			}
			cmd.Dir = r.dir
			program := program(t, r.dir)
			cmd.Env = append(program.Env, "PATH="+filepath.Dir(program.Path)+":/usr/bin:/bin")
			out, err := cmd.CombinedOutput()
			if got := string(out); err != nil && got == "" || got != x.want {
				t.Errorf("%s: %q completes to %q (%v), want %q", shell, strings.TrimPrefix(x.line, "try "), got, err, x.want)
			}
		}
	}
}
