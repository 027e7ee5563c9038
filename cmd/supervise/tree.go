package main

import (
	"slices"
	"strings"
)

// The defaults of the program's own log.
const (
	defaultLogLevel  = "info"
	defaultLogFormat = "text"
)

var (
	logLevels  = []string{"trace", "debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// treeOptions are the flags of a tree that runs.
type treeOptions struct {
	place
	check     bool
	logLevel  string
	logFormat string
	noColor   bool
}

func (o *treeOptions) flags(f *flags) {
	o.logLevel, o.logFormat = defaultLogLevel, defaultLogFormat
	f.StringVar(&o.config, "config", "FILE", "run the tree that this file describes")
	f.BoolVar(&o.check, "check", "only read and check the file")
	f.StringVar(&o.socket, "socket", "FILE", "the control socket")
	f.StringVar(&o.logLevel, "log-level", strings.Join(logLevels, "|"), "how much the program's own log says (info)")
	f.StringVar(&o.logFormat, "log-format", strings.Join(logFormats, "|"), "how it says it (text)")
	f.BoolVar(&o.noColor, "no-color", "print without colour")
}

// run checks the options and runs the tree, or checks its file.
func (o *treeOptions) run(io *stdio) error {
	if !slices.Contains(logLevels, o.logLevel) {
		return usage("", "-log-level %q is none of %s%s", o.logLevel, strings.Join(logLevels, ", "), didYouMean(o.logLevel, logLevels))
	}
	if !slices.Contains(logFormats, o.logFormat) {
		return usage("", "-log-format %q is none of %s%s", o.logFormat, strings.Join(logFormats, ", "), didYouMean(o.logFormat, logFormats))
	}
	if o.check {
		return (&checkCommand{}).check(io, o.config)
	}
	io.plain(o.noColor)
	outliveReaders()
	return exit(runTree(io, *o))
}
