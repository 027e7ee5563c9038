package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

//go:embed otp_runner.erl
var runner []byte

// onOTP runs scenarios on the installed OTP's supervisor, in one Erlang VM,
// and returns their traces.
func onOTP(scenarios [][]byte) ([][]byte, error) {
	dir, err := os.MkdirTemp("", "otpdiff")
	if err != nil {
		return nil, fmt.Errorf("making a place for the runner: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "otp_runner.erl"), runner, 0o600); err != nil {
		return nil, fmt.Errorf("writing the runner: %w", err)
	}
	if err := command(dir, "erlc", "otp_runner.erl"); err != nil {
		return nil, err
	}
	files := make([]string, len(scenarios))
	for i, s := range scenarios {
		files[i] = fmt.Sprintf("%d.term", i)
		text, err := term(s)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, files[i]), text, 0o600); err != nil {
			return nil, fmt.Errorf("writing a scenario: %w", err)
		}
	}
	// One scheduler: the runner knows by it when nothing is left to do.
	list, err := json.Marshal(files)
	if err != nil {
		return nil, fmt.Errorf("listing the scenarios: %w", err)
	}
	if err := command(dir, "erl", "-noinput", "+S", "1", "-eval", "otp_runner:main("+string(list)+")."); err != nil {
		return nil, err
	}
	traces := make([][]byte, len(files))
	for i, file := range files {
		if traces[i], err = os.ReadFile(filepath.Join(dir, file+".trace")); err != nil {
			return nil, fmt.Errorf("reading OTP's trace: %w", err)
		}
	}
	return traces, nil
}

func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", name, err, out)
	}
	return nil
}

// term writes a JSON text as an Erlang term: objects as maps, strings as binaries.
func term(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading a scenario: %w", err)
	}
	return append(appendTerm([]byte("%% coding: utf-8\n"), v), ".\n"...), nil
}

func appendTerm(out []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		out = append(out, "#{"...)
		for i, k := range keys {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = append(appendTerm(out, k), " => "...)
			out = appendTerm(out, v[k])
		}
		return append(out, '}')
	case []any:
		out = append(out, '[')
		for i, x := range v {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = appendTerm(out, x)
		}
		return append(out, ']')
	case string:
		return append(append(append(out, "<<"...), strconv.Quote(v)...), "/utf8>>"...)
	case json.Number:
		return append(out, v.String()...)
	case bool:
		return strconv.AppendBool(out, v)
	default:
		return append(out, "null"...)
	}
}
