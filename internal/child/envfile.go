package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// envFileBound is the most that is read of an env_file.
const envFileBound = 1 << 20

// readEnvFile lays a file of lines NAME=VALUE over the child's environment.
// Blank lines and lines that begin with # or ; are passed over, "export " in
// front is, and one pair of quotes around a value is taken off.
func (e *Engine) readEnvFile(s Spawn, name string) error {
	fail := func(err error, what string) error {
		se := e.startError(s, "env_file", err, what)
		se.Passing = passing(err)
		return se
	}
	what := fmt.Sprintf("env_file %q", name)
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fail(err, what)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return fail(errors.New("not a regular file"), what) // a pipe would hold up the whole supervisor
	}
	text, err := io.ReadAll(io.LimitReader(f, envFileBound+1))
	if err != nil {
		return fail(err, what)
	}
	if len(text) > envFileBound {
		return fail(errors.New("more than 1 MiB"), what)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		kv, err := parseEnvLine(line)
		if err != nil {
			return fail(err, fmt.Sprintf("env_file %q line %d", name, n))
		}
		if kv != "" {
			e.env.set(kv)
		}
	}
	return nil
}

// parseEnvLine reads one line; "" is a line without a variable.
func parseEnvLine(line string) (string, error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == ';' {
		return "", nil
	}
	name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
		return "", errors.New("not of the form NAME=VALUE")
	}
	if strings.Contains(line, "\x00") {
		return "", errors.New("a NUL byte in a variable")
	}
	value = strings.TrimSpace(value)
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		value = value[1 : len(value)-1]
	}
	return name + "=" + value, nil
}
