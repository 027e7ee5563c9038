package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// flags are those of one command: package flag's, which takes one dash or two
// and -x v or -x=v, with what it lacks: flags after words, and what the help,
// the manual and the completions want to know.
type flags struct {
	set  *flag.FlagSet
	list []flagAbout
}

// flagAbout is what is said of one flag.
type flagAbout struct {
	name  string
	value string // what stands for its value: "FILE", "up|ready|down"; "": it has none
	about string
}

func newFlags(name string) *flags {
	f := &flags{set: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	return f
}

// help declares -help and -h, which every command has.
func (f *flags) help() *bool {
	wanted := new(bool)
	f.set.BoolVar(wanted, "help", false, "")
	f.set.BoolVar(wanted, "h", false, "")
	return wanted
}

// Bool declares a flag without a value.
func (f *flags) Bool(name string, otherwise bool, about string) *bool {
	f.list = append(f.list, flagAbout{name, "", about})
	return f.set.Bool(name, otherwise, about)
}

// BoolVar is Bool for a variable that is already there.
func (f *flags) BoolVar(p *bool, name, about string) {
	f.list = append(f.list, flagAbout{name, "", about})
	f.set.BoolVar(p, name, *p, about)
}

// StringVar declares a flag with a text; value is what stands for it in the help.
func (f *flags) StringVar(p *string, name, value, about string) {
	f.list = append(f.list, flagAbout{name, value, about})
	f.set.StringVar(p, name, *p, about)
}

// DurationVar declares a flag with a duration, which has a unit.
func (f *flags) DurationVar(p *time.Duration, name, about string) {
	f.list = append(f.list, flagAbout{name, "DURATION", about})
	f.set.DurationVar(p, name, *p, about)
}

// UintVar declares a flag with a number.
func (f *flags) UintVar(p *uint64, name, value, about string) {
	f.list = append(f.list, flagAbout{name, value, about})
	f.set.Uint64Var(p, name, *p, about)
}

// parse takes flags wherever they stand, up to a "--", and returns the words.
func (f *flags) parse(args []string) (words []string, err error) {
	for {
		if err := f.set.Parse(args); err != nil {
			return nil, err
		}
		rest := f.set.Args()
		if len(rest) == 0 {
			return words, nil
		}
		if taken := len(args) - len(rest); taken > 0 && args[taken-1] == "--" {
			return append(words, rest...), nil
		}
		words, args = append(words, rest[0]), rest[1:]
	}
}

// suggest adds to a complaint about an unknown flag the one that may be meant.
func (f *flags) suggest(err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	known := make([]string, len(f.list))
	for i, a := range f.list {
		known[i] = a.name
	}
	return fmt.Errorf("there is no flag -%s%s", name, strings.Replace(didYouMean(name, known), `"`, `"-`, 1))
}

// find is a flag by its name; nil: there is none.
func (f *flags) find(name string) *flagAbout {
	i := slices.IndexFunc(f.list, func(a flagAbout) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &f.list[i]
}
