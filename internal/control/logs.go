package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// outputWait is how long an answer waits for a node's last lines: a node that
// is stopped must not keep back what the root knows by itself.
const outputWait = 2 * time.Second

// Lines is the answer of /v1/logs: oldest first.
type Lines struct {
	Path  string            `json:"path"`
	Lines []output.PathLine `json:"lines"`
}

// TapLine is a line of an answer that follows: a line that was printed, or the
// number of those that this reader was too slow for.
type TapLine struct {
	*output.PathLine
	Dropped uint64 `json:"dropped,omitempty"`
}

func (c *call) logs() error {
	n, err := strconv.Atoi(cmp.Or(c.query.Get("n"), strconv.Itoa(output.KeptLines)))
	if err != nil || n < 0 {
		return badRequest("reading n=%.40q: it is no number of lines", c.query.Get("n"))
	}
	paths := append([]string{c.node}, c.query["path"]...)
	workers, err := c.workers(paths)
	if err != nil {
		return err
	}
	follow, err := c.flag("follow")
	if err != nil {
		return err
	}
	if follow {
		return c.followLogs(paths, workers, n)
	}
	lines, err := c.lastLines(workers, n)
	if err != nil {
		return err
	}
	return writeJSON(c.conn, 200, Lines{c.node, lines})
}

// workers are the workers at and below some paths.
func (c *call) workers(paths []string) (all []string, err error) {
	c.journal().View(func(f *journal.Fold) {
		for _, at := range f.Paths() {
			life, _, _ := f.State(at)
			if life.Kind == "worker" && under(at, paths) {
				all = append(all, at)
			}
		}
		for _, at := range paths {
			if _, _, known := f.State(at); !known {
				err = &Refused{Word: "not_found", Detail: "there is no " + at}
			}
		}
	})
	return all, err
}

// under says whether a path is one of some, or below one.
func under(path string, some []string) bool {
	return slices.ContainsFunc(some, func(at string) bool {
		return path == at || strings.HasPrefix(path, strings.TrimSuffix(at, "/")+"/")
	})
}

// lastLines are the kept lines of some workers, in the order of time.
func (c *call) lastLines(workers []string, n int) ([]output.PathLine, error) {
	all := []output.PathLine{}
	for _, at := range workers {
		lines, err := c.lines(at, n)
		if err != nil && len(workers) == 1 {
			return nil, err
		}
		for _, l := range lines {
			all = append(all, output.PathLine{Path: at, Line: l})
		}
	}
	slices.SortStableFunc(all, func(a, b output.PathLine) int { return a.At.Compare(b.At) })
	return all, nil
}

// lines are the kept lines of one worker.
func (c *call) lines(at string, n int) ([]output.Line, error) {
	ctx, cancel := context.WithTimeout(c.server.ctx, outputWait)
	defer cancel()
	lines, err := c.server.tree.Output(ctx, at, n)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &Refused{Word: WordTimeout, Detail: "the supervisor of " + at + " does not answer"}
	}
	return lines, err
}

// followLogs writes the kept lines, and then those to come. A line that is on
// its way just then may come twice.
func (c *call) followLogs(paths, workers []string, n int) error {
	ctx, cancel := c.whileThere(c.server.ctx)
	defer cancel()
	began := time.Now()
	tap := c.server.tree.Tap(func(path string) bool { return under(path, paths) })
	defer tap.Close()
	kept, err := c.lastLines(workers, n)
	if err != nil {
		return err
	}
	kept = slices.DeleteFunc(kept, func(l output.PathLine) bool { return l.At.After(began) })
	_ = c.conn.SetWriteDeadline(time.Time{})
	if _, err := c.conn.Write(responseHead(200, -1, "application/x-ndjson")); err != nil {
		return nil // the client has gone, and there is nobody to tell
	}
	for lines, dropped := kept, uint64(0); err == nil; lines, dropped, err = tap.Next(ctx) {
		if c.writeLines(lines, dropped) != nil {
			return nil
		}
	}
	return nil
}

func (c *call) writeLines(lines []output.PathLine, dropped uint64) error {
	var buf []byte
	for i := range lines {
		text, err := json.Marshal(TapLine{PathLine: &lines[i]})
		if err != nil {
			return fmt.Errorf("writing a line: %w", err)
		}
		buf = append(append(buf, text...), '\n')
	}
	if dropped > 0 {
		buf = fmt.Appendf(buf, "{\"dropped\":%d}\n", dropped)
	}
	_, err := c.conn.Write(buf)
	return err
}
