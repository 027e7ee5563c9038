package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// memory is a field of /proc/PID/status in kB.
func memory(t *testing.T, pid int, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kB, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kB
		}
	}
	t.Fatalf("/proc/%d/status has no %s", pid, name)
	return 0
}

// limit is a bound on memory in kB; the race detector takes several times as much.
func limit(kB int) int {
	if raceEnabled {
		return 4 * kB
	}
	return kB
}

// Of a line without end no supervisor keeps more than a piece. With TORTURE=1
// it has 300 MB. It goes on when what there is has come: of what comes faster
// than a busy machine writes it down, some would be dropped.
func TestTenMegabytesInOneLineAreNotKept(t *testing.T) {
	t.Parallel()
	megabytes := 10
	if long() {
		megabytes = 300
	}
	file, err := os.Create(filepath.Join(scratch(t), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := boot(t, fmt.Sprintf(`
[[child]]
name = "sub"
strategy = "one_for_one"
  [[child.child]]
  name = "long"
  command = "exec $E2E_PLAY play whole %d"
  restart = "transient"
`, megabytes), func(r *running) { r.cmd.Stdout = file })
	for i := range megabytes << 20 / longPiece {
		until(t, "the piece to come", func() bool {
			time.Sleep(time.Millisecond) // it is a file: nothing tells of its growth
			info, err := file.Stat()
			return err == nil && info.Size() >= int64((i+1)*longPiece-output.MaxLine)
		})
		r.write("go", "\n")
	}
	r.await("/sub/long", journal.Down)
	for _, path := range []string{"/", "/sub"} {
		if peak := memory(t, r.node(path).Pid, "VmHWM"); peak > limit(32<<10) {
			t.Errorf("a line of %d MB took the supervisor %s to %d kB", megabytes, path, peak)
		}
	}
	out, _ := r.does(0, "logs", "/sub/long")
	if !strings.HasSuffix(out, "and the end\n") {
		t.Errorf("the last lines end in %.80q", out[max(0, len(out)-80):])
	}
	r.does(0, "shutdown")
	r.endsWith(0)
	said, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(said, []byte("x")); got != megabytes<<20 {
		t.Errorf("%d of %d bytes came", got, megabytes<<20)
	}
	if !bytes.HasSuffix(said, []byte("/sub/long | and the end\n")) { // a last piece without a newline
		t.Errorf("the output ends in %q", said[max(0, len(said)-80):])
	}
}

func TestAnyBytePassesThrough(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "odd"
command = '''printf 'a\0b\377c\r\n\n\033[31mred\n'; printf 'err\n' >&2; exec sleep 1000'''
`)
	r.stdout.says(t, "/odd | a\x00b\xffc\r\n/odd | \n/odd | \x1b[31mred\n")
	r.stderr.says(t, "/odd | err\n")
	r.does(0, "logs", "-json", "/odd")
}

// A reader that does not read loses lines, which are counted and said; the
// tree loses no time.
func TestDroppedLinesAreCountedAndSaid(t *testing.T) {
	t.Parallel()
	const lines = 100_000
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	r := launch(t, fmt.Sprintf(`
[[child]]
name = "flood"
command = "seq -f 'line %%07.0f of a flood that nobody reads' %d; exec sleep 1000"
restart = "temporary"
[[child]]
name = "other"
command = ["sleep", "1000"]
`, lines), func(r *running) { r.cmd.Stdout = to })
	to.Close()
	r.await("/", journal.Start)
	r.does(0, "restart", "/other") // it answers meanwhile
	out, last := "", fmt.Sprintf("line %07d of a flood that nobody reads\n", lines)
	for !strings.HasSuffix(out, last) { // kept where it is captured, so that it comes even if nobody reads
		out, _ = r.does(0, "logs", "/flood")
	}

	// Now the reader wakes up, and gets what is left with the gaps told.
	reader, came, missing := bufio.NewReader(from), 0, 0
	for came+missing < lines {
		line, err := reader.ReadString('\n')
		var n int
		switch {
		case err != nil:
			t.Fatalf("after %d lines and %d that are said to be missing: %v", came, missing, err)
		case strings.HasPrefix(line, "/flood | line "):
			came++
		default:
			if _, err := fmt.Sscanf(line, "--- %d line", &n); err != nil {
				t.Fatalf("between the lines stands %q", line)
			}
			missing += n
		}
	}
	if came+missing != lines || missing == 0 {
		t.Errorf("%d lines came and %d were said to be missing, of %d", came, missing, lines)
	}
}

func TestWithoutStandardDescriptorsTheTreeRuns(t *testing.T) {
	t.Parallel()
	r := boot(t, `
[[child]]
name = "talk"
command = "while :; do echo out; echo err >&2; sleep 0.01; done"
`, under("sh", "-c", `exec "$0" "$@" <&- >&- 2>&-`))
	r.does(0, "restart", "/talk")
	out, _ := r.does(0, "logs", "/talk")
	for out == "" {
		out, _ = r.does(0, "logs", "/talk")
	}
	r.does(0, "shutdown")
	r.endsWith(0)
}

func TestAReaderThatIsGoneIsNoReasonToEnd(t *testing.T) {
	t.Parallel()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := launch(t, `
[[child]]
name = "talk"
command = "while :; do echo out; echo err >&2; sleep 0.01; done"
`, func(r *running) { r.cmd.Stdout, r.cmd.Stderr = to, to })
	to.Close()
	bufio.NewReader(from).ReadString('\n')
	from.Close()
	r.await("/", journal.Start)
	r.does(0, "restart", "/talk")
	r.await("/talk", journal.Start, 2)
	r.does(0, "shutdown")
	r.endsWith(0)
}
