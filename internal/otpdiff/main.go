// Command otpdiff compares internal/sim with the supervisor of an installed
// Erlang/OTP, on scenarios that it makes up, or on recorded ones.
//
//	otpdiff -n 1000 -seed 7        1,000 random scenarios
//	otpdiff -recorded DIR          DIR/scenarios and DIR/golden: is the OTP runner itself right?
//	otpdiff FILE.json...           these scenarios
//
// A scenario on which the two differ is kept in the directory -keep, with both
// traces; the exit status is then 1.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/supertrees/supervise/internal/sim"
)

// batch is how many scenarios one Erlang VM runs.
const batch = 250

func main() {
	n := flag.Int("n", 1000, "how many random scenarios")
	seed := flag.Uint64("seed", 1, "the first one's seed; the others' follow")
	recorded := flag.String("recorded", "", "compare the OTP runner with recorded traces instead")
	keep := flag.String("keep", "otpdiff.out", "where scenarios that differ are kept")
	flag.Parse()
	differ, err := run(*n, *seed, *recorded, *keep, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "otpdiff: %v\n", err)
		os.Exit(2)
	}
	if differ > 0 {
		os.Exit(1)
	}
}

// trial is a scenario and the trace that OTP's is compared with.
type trial struct {
	name     string
	scenario []byte
	ours     []byte
}

func run(n int, seed uint64, recorded, keep string, files []string) (differ int, err error) {
	total := 0
	next := random(n, seed)
	if recorded != "" {
		if next, err = fromGolden(recorded); err != nil {
			return 0, err
		}
	} else if len(files) > 0 {
		next = fromFiles(files)
	}
	for {
		var trials []trial
		for len(trials) < batch {
			t, ok, err := next()
			if err != nil {
				return differ, err
			}
			if !ok {
				break
			}
			trials = append(trials, t)
		}
		if len(trials) == 0 {
			fmt.Printf("%d scenarios, %d differ\n", total, differ)
			return differ, nil
		}
		d, err := compare(trials, keep)
		if err != nil {
			return differ, err
		}
		total, differ = total+len(trials), differ+d
	}
}

// compare runs a batch on OTP, and keeps what differs.
func compare(trials []trial, keep string) (differ int, err error) {
	scenarios := make([][]byte, len(trials))
	for i, t := range trials {
		scenarios[i] = t.scenario
	}
	theirs, err := onOTP(scenarios)
	if err != nil {
		return 0, err
	}
	for i, t := range trials {
		if bytes.Equal(theirs[i], t.ours) {
			continue
		}
		differ++
		fmt.Printf("%s differs: %s\n", t.name, firstDifference(t.ours, theirs[i]))
		if err := os.MkdirAll(keep, 0o755); err != nil {
			return differ, fmt.Errorf("keeping %s: %w", t.name, err)
		}
		for suffix, data := range map[string][]byte{".json": t.scenario, ".ours": t.ours, ".otp": theirs[i]} {
			if err := os.WriteFile(filepath.Join(keep, t.name+suffix), data, 0o644); err != nil {
				return differ, fmt.Errorf("keeping %s: %w", t.name, err)
			}
		}
	}
	return differ, nil
}

func firstDifference(ours, theirs []byte) string {
	a, b := strings.Split(string(ours), "\n"), strings.Split(string(theirs), "\n")
	for i := range max(len(a), len(b)) {
		x, y := "(end)", "(end)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\n  ours %s\n  OTP  %s", i+1, x, y)
		}
	}
	return "nowhere"
}

// source gives one trial after another.
type source func() (t trial, ok bool, err error)

func fromFiles(files []string) source {
	return func() (trial, bool, error) {
		if len(files) == 0 {
			return trial{}, false, nil
		}
		file := files[0]
		files = files[1:]
		data, err := os.ReadFile(file)
		if err != nil {
			return trial{}, false, fmt.Errorf("reading a scenario: %w", err)
		}
		t, err := withTrace(strings.TrimSuffix(filepath.Base(file), ".json"), data)
		return t, true, err
	}
}

func fromGolden(dir string) (source, error) {
	files, err := filepath.Glob(filepath.Join(dir, "scenarios", "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("looking for scenarios in %s: none found", dir)
	}
	each := fromFiles(files)
	return func() (trial, bool, error) {
		t, ok, err := each()
		if !ok || err != nil {
			return t, ok, err
		}
		t.ours, err = os.ReadFile(filepath.Join(dir, "golden", t.name+".jsonl"))
		if err != nil {
			return t, false, fmt.Errorf("reading a recorded trace: %w", err)
		}
		return t, true, nil
	}, nil
}

// random makes scenarios up, a seed each.
func random(n int, seed uint64) source {
	return func() (trial, bool, error) {
		if n == 0 {
			return trial{}, false, nil
		}
		n--
		data, err := scenario(seed)
		if err != nil {
			return trial{}, false, err
		}
		t, err := withTrace(fmt.Sprintf("random-%d", seed), data)
		seed++
		return t, true, err
	}
}

func withTrace(name string, data []byte) (trial, error) {
	s, err := sim.Read(data)
	if err != nil {
		return trial{}, fmt.Errorf("%s: %w", name, err)
	}
	ours, err := sim.Run(s)
	if err != nil {
		ours = []byte(err.Error())
	}
	return trial{name: name, scenario: data, ours: ours}, nil
}
