package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/supertrees/supervise/internal/config"
	"github.com/supertrees/supervise/internal/control"
)

// The exit statuses, as the manual lists them; those in the sixties and
// seventies are sysexits.h's.
const (
	statusOK           = 0
	statusRefused      = 1
	statusUsage        = 64
	statusScenario     = 65
	statusNoInput      = 66
	statusNoTree       = 69
	statusRuns         = 75
	statusNotPermitted = 77
	statusConfig       = 78
	statusTimeout      = 124
	statusInterrupted  = 130
)

// usageError is a command line that cannot be understood.
type usageError struct {
	command string
	text    string
}

func (e *usageError) Error() string { return e.text }

func usage(command, format string, args ...any) error {
	return &usageError{command, fmt.Sprintf(format, args...)}
}

// exitError ends the program with a status of its own. What there was to say
// has been said.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// exit is the error for a status; nil for 0.
func exit(status int) error {
	if status == statusOK {
		return nil
	}
	return &exitError{status}
}

// statusOf is the exit status that tells a script what went wrong.
func statusOf(err error) int {
	var (
		own     *exitError
		misuse  *usageError
		refused *control.Refused
		unread  *config.ReadError
		wrong   config.Diagnostics
	)
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &own):
		return own.status
	case errors.As(err, &misuse), errors.Is(err, control.ErrWhich):
		return statusUsage
	case errors.As(err, &unread):
		return statusNoInput
	case errors.As(err, &wrong):
		return statusConfig
	case errors.As(err, &refused):
		return statusOfWord(refused.Word)
	case errors.Is(err, control.ErrRuns):
		return statusRuns
	case errors.Is(err, control.ErrNoTree):
		return statusNoTree
	case errors.Is(err, context.DeadlineExceeded):
		return statusTimeout
	case errors.Is(err, context.Canceled):
		return statusInterrupted
	case errors.Is(err, os.ErrPermission):
		return statusNotPermitted
	}
	return statusRefused
}

func statusOfWord(word string) int {
	switch word {
	case "noproc":
		return statusNoTree
	case control.WordTimeout:
		return statusTimeout
	case control.WordNotPermitted:
		return statusNotPermitted
	}
	return statusRefused
}

// complaint is what stands on standard error. The errors of a configuration
// have their places in front, so that editors and people find them.
func complaint(err error) string {
	var (
		own    *exitError
		misuse *usageError
		wrong  config.Diagnostics
	)
	switch {
	case err == nil, errors.As(err, &own), errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &wrong):
		return wrong.Error()
	case errors.As(err, &misuse):
		hint := strings.TrimSpace("supervise help " + misuse.command)
		return fmt.Sprintf("supervise: %s (%s says more)", misuse.text, hint)
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		lines := make([]string, len(several.Unwrap()))
		for i, one := range several.Unwrap() {
			lines[i] = complaint(one)
		}
		return strings.Join(lines, "\n")
	}
	return "supervise: " + err.Error()
}
