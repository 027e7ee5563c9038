package sim

import (
	"fmt"
	"io"
	"os"
)

// UnreadableError is the fault of a file that is no scenario.
type UnreadableError struct{ err error }

func (e *UnreadableError) Error() string { return e.err.Error() }

// Unwrap gives the fault without the file's name.
func (e *UnreadableError) Unwrap() error { return e.err }

// Print runs scenario files, one after another, each on a new World, and
// writes their traces. Before each of several goes a line that names it. A
// file that cannot be read is an UnreadableError; the files after it are not run.
func Print(out io.Writer, files []string, world func() (World, error)) error {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return &UnreadableError{err}
		}
		scenario, err := Read(data)
		if err != nil {
			return &UnreadableError{fmt.Errorf("%s: %w", file, err)}
		}
		w, err := world()
		if err != nil {
			return fmt.Errorf("making a world for %s: %w", file, err)
		}
		trace, err := RunOn(scenario, w)
		if err != nil {
			return fmt.Errorf("running %s: %w", file, err)
		}
		if len(files) > 1 {
			trace = append([]byte(event("scenario").str("name", scenario.Name).end()+"\n"), trace...)
		}
		if _, err := out.Write(trace); err != nil {
			return fmt.Errorf("writing the trace of %s: %w", file, err)
		}
	}
	return nil
}
