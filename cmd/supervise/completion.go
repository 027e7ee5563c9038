package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/control"
)

// completionCommand prints what a shell needs.
type completionCommand struct{}

var shells = []string{"bash", "zsh", "fish"}

func (completionCommand) About() about {
	return about{
		name:    "completion",
		args:    strings.Join(shells, "|"),
		summary: "print the completions of a shell",
		details: "They complete commands, flags, files, signals, and the paths of the tree that runs. For bash: source <(supervise completion bash). " +
			"For zsh: source <(supervise completion zsh), after compinit. For fish: supervise completion fish | source.",
	}
}

// Flags has none to declare.
func (completionCommand) Flags(*flags) {}

// Run prints the script of a shell.
func (completionCommand) Run(_ context.Context, io *stdio, words []string) error {
	if len(words) != 1 || scripts[words[0]] == "" {
		return usage("completion", "completion takes the name of a shell: %s", strings.Join(shells, ", "))
	}
	_, err := fmt.Fprint(io.out, scripts[words[0]])
	return err
}

// The scripts hand the words before the cursor to the hidden command
// __complete, and take a line a proposal. A line ":files" asks for files.
var scripts = map[string]string{
	"bash": `# supervise completion bash
_supervise() {
	local line IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	for line in $("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
		if [[ $line == :files ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY+=($(compgen -f -- "$cur"))
		else
			COMPREPLY+=("$line")
		fi
	done
}
complete -F _supervise supervise
`,
	"zsh": `#compdef supervise
# supervise completion zsh
_supervise() {
	local line
	local -a proposals
	for line in ${(f)"$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
		if [[ $line == :files ]]; then
			_files
		else
			proposals+=("$line")
		fi
	done
	(( ${#proposals} )) && compadd -- "${proposals[@]}"
}
if [[ $funcstack[1] == _supervise ]]; then
	_supervise "$@"
else
	compdef _supervise supervise
fi
`,
	"fish": `# supervise completion fish
function __supervise_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
		if test "$line" = :files
			__fish_complete_path "$current"
		else
			echo $line
		end
	end
end
complete -c supervise -f -a '(__supervise_complete)'
`,
}

// completeWait bounds how long a completion waits for the tree's paths.
const completeWait = time.Second

// completeCommand proposes what the last of its words may become.
type completeCommand struct{}

func (completeCommand) About() about { return about{name: "__complete", hidden: true} }

// Flags has none to declare: everything is a word to complete.
func (completeCommand) Flags(*flags) {}

// Run prints the proposals, a line each. It never complains: there is nobody
// to read it.
func (completeCommand) Run(ctx context.Context, io *stdio, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	for _, proposal := range propose(ctx, io, words[:len(words)-1], last) {
		if proposal == files || strings.HasPrefix(proposal, last) {
			fmt.Fprintln(io.out, proposal)
		}
	}
	return nil
}

// files asks the shell for its own completion of files.
const files = ":files"

// propose lists what may stand after the words before.
func propose(ctx context.Context, io *stdio, before []string, last string) []string {
	var o treeOptions
	top := newFlags("")
	o.flags(top)
	c, known, positional, open := scan(before, top)
	switch {
	case open != nil:
		return values(*open)
	case strings.HasPrefix(last, "-"):
		if name, _, ok := strings.Cut(strings.TrimLeft(last, "-"), "="); ok {
			return prefixed(last[:strings.IndexByte(last, '=')+1], name, known)
		}
		return flagNames(known, last)
	case c == nil:
		return names()
	}
	return arguments(ctx, io, c, before, positional)
}

// scan reads the words before the cursor: the command among them, the flags
// that may stand now, the positional words, and a flag that waits for its value.
func scan(before []string, top *flags) (c command, known *flags, positional []string, open *flagAbout) {
	known = top
	for i := 0; i < len(before); i++ {
		word := before[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			if c == nil {
				if c = find(word); c != nil {
					known = allFlags(c)
				}
			} else {
				positional = append(positional, word)
			}
			continue
		}
		a := known.find(strings.TrimLeft(word, "-"))
		if a == nil || a.value == "" {
			continue
		}
		if i++; i == len(before) {
			return c, known, positional, a
		}
	}
	return c, known, positional, nil
}

// values are what a flag's value may be.
func values(a flagAbout) []string {
	switch {
	case a.value == "FILE":
		return []string{files}
	case strings.Contains(a.value, "|"):
		return strings.Split(a.value, "|")
	}
	return nil
}

// prefixed are the values of a flag, with "-flag=" in front.
func prefixed(front, name string, known *flags) []string {
	a := known.find(name)
	if a == nil {
		return nil
	}
	all := values(*a)
	for i, value := range all {
		if value != files {
			all[i] = front + value
		}
	}
	return all
}

// flagNames are the flags, with as many dashes as were typed.
func flagNames(known *flags, typed string) []string {
	dashes := "-"
	if strings.HasPrefix(typed, "--") {
		dashes = "--"
	}
	var all []string
	for _, a := range known.list {
		all = append(all, dashes+a.name)
	}
	return append(all, dashes+"help")
}

// arguments are what a command's next word may be.
func arguments(ctx context.Context, io *stdio, c command, before, positional []string) []string {
	a := c.About()
	switch kinds := strings.Fields(a.args); {
	case a.name == "help" && len(positional) == 0:
		return names()
	case a.name == "signal" && len(positional) == 1:
		return signals()
	case len(kinds) > 1 && kinds[0] == "TO" && len(positional) == 0:
		return callees(ctx, io, c, before)
	case len(kinds) > 1 && kinds[0] == "TO" && len(positional) == 1:
		return methods(ctx, io, c, before, positional[0])
	case len(kinds) == 0:
		return nil
	case strings.Contains(kinds[0], "PATH") && (len(positional) == 0 || strings.HasSuffix(kinds[0], "...")):
		return paths(ctx, io, c, before)
	case len(positional) > 0:
		return nil
	case kinds[0] == "FILE":
		return []string{files}
	case strings.Contains(kinds[0], "|"):
		return strings.Split(kinds[0], "|")
	}
	return nil
}

// paths are those of the tree that the words before the cursor mean.
func paths(ctx context.Context, io *stdio, c command, before []string) (all []string) {
	client := completionClient(io, c, before)
	if client == nil || client.Get(ctx, "paths", "", nil, &all) != nil {
		return nil
	}
	return all
}

// completionClient asks the tree that the words before the cursor mean; nil
// where that cannot be found.
func completionClient(io *stdio, c command, before []string) *control.Client {
	t, ok := c.(talker)
	if !ok {
		return nil
	}
	f := newFlags("")
	c.Flags(f)
	t.reach().flags(f, place{})
	var rest []string
	for i, word := range before {
		if word == c.About().name {
			rest = append(before[:i:i], before[i+1:]...)
			break
		}
	}
	if _, err := f.parse(rest); err != nil {
		return nil
	}
	client, err := t.reach().client(io)
	if err != nil {
		return nil
	}
	return client
}

// signals are the names of the signals, without SIG.
func signals() []string {
	var all []string
	for s := unix.SIGHUP; s <= unix.SIGSYS; s++ {
		if unix.SignalName(s) != "" {
			all = append(all, child.SignalName(s))
		}
	}
	return all
}
