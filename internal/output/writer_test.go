package output

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pipe is a pair of files; the writing end is a blocking descriptor, as a shell gives it.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestLinesHaveTheirPathInFront(t *testing.T) {
	outR, outW := pipe(t)
	errR, errW := pipe(t)
	w := NewWriter(int(outW.Fd()), int(errW.Fd()), [2]bool{false, true})
	w.Output(Batch{"/web/api", Stdout, []byte("one\ntwo\n")})
	w.Output(Batch{"/web/api", Stderr, []byte("oh\n")})
	fmt.Fprintln(w.Log(), "started")
	w.Close()
	outW.Close()
	errW.Close()
	out, _ := io.ReadAll(outR)
	if string(out) != "/web/api | one\n/web/api | two\n" {
		t.Errorf("stdout %q", out)
	}
	errs, _ := io.ReadAll(errR)
	if want := "\x1b[" + Colour("/web/api") + "m/web/api |\x1b[0m oh\nstarted\n"; string(errs) != want {
		t.Errorf("stderr %q, want %q", errs, want)
	}
}

// A reader that sleeps makes nobody wait: every line is either there or counted.
func TestASlowReaderMakesCountedDrops(t *testing.T) {
	r, file := pipe(t)
	w := NewWriter(int(file.Fd()), int(file.Fd()), [2]bool{})
	const lines = 100_000
	text := bytes.Repeat([]byte(strings.Repeat("z", 63)+"\n"), 100)
	for range lines / 100 {
		w.Output(Batch{"/w", Stdout, text})
	}
	if w.Dropped() == 0 {
		t.Fatal("nothing was dropped, so the reader was not slow")
	}
	go func() {
		w.Close()
		file.Close()
	}()
	marker := regexp.MustCompile(`^--- (\d+) lines? dropped ---$`)
	seen, told := 0, 0
	for scan := bufio.NewScanner(r); scan.Scan(); {
		if m := marker.FindStringSubmatch(scan.Text()); m != nil {
			n, _ := strconv.Atoi(m[1])
			told += n
			continue
		}
		if !strings.HasPrefix(scan.Text(), "/w | zz") {
			t.Fatalf("a torn line: %q", scan.Text())
		}
		seen++
	}
	if seen+told != lines {
		t.Errorf("%d lines came and %d were told missing, of %d", seen, told, lines)
	}
}

func TestAReaderThatIsGoneHarmsNobody(t *testing.T) {
	r, file := pipe(t)
	r.Close()
	w := NewWriter(int(file.Fd()), int(file.Fd()), [2]bool{})
	for range 1000 {
		w.Output(Batch{"/w", Stdout, []byte("lost\n")})
	}
	w.Close()
	if n := w.Dropped(); n != 1000 {
		t.Errorf("%d lines are counted as dropped, of 1000", n)
	}
}

func TestAFullDiskIsNotForEver(t *testing.T) {
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(full, full, [2]bool{})
	w.Output(Batch{"/w", Stdout, []byte("a\nb\n")})
	for w.Dropped() < 2 {
		runtime.Gosched()
	}
	path := t.TempDir() + "/freed"
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(int(file.Fd()), full, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w.Output(Batch{"/w", Stdout, []byte("c\n")})
	w.Close()
	unix.Close(full)
	if text, _ := os.ReadFile(path); string(text) != "--- 2 lines dropped ---\n/w | c\n" {
		t.Errorf("the file holds %q", text)
	}
}

func TestANonblockingOutputIsWaitedFor(t *testing.T) {
	r, file := pipe(t)
	unix.SetNonblock(int(file.Fd()), true)
	w := NewWriter(int(file.Fd()), int(file.Fd()), [2]bool{})
	text := strings.Repeat("0123456789abcde\n", 20_000)
	w.Output(Batch{"", Stdout, []byte(text)})
	go func() {
		w.Close()
		file.Close()
	}()
	got, _ := io.ReadAll(r)
	if string(got) != strings.ReplaceAll(text, "0123456789abcde", " | 0123456789abcde") {
		t.Errorf("%d bytes came", len(got))
	}
}

func TestATapSeesWhatItWants(t *testing.T) {
	_, file := pipe(t)
	w := NewWriter(int(file.Fd()), int(file.Fd()), [2]bool{})
	defer w.Close()
	tap := w.Tap(func(path string) bool { return path == "/a" })
	w.Output(Batch{"/b", Stdout, []byte("no\n")})
	w.Output(Batch{"/a", Stderr, []byte("one\ntwo\n")})
	lines, dropped, err := tap.Next(t.Context())
	if err != nil || dropped != 0 || len(lines) != 2 || lines[1].Text != "two" || lines[1].Path != "/a" || lines[1].Stream != Stderr {
		t.Errorf("the tap has %+v, %d dropped, %v", lines, dropped, err)
	}
	flood := bytes.Repeat([]byte("0123456789abcde\n"), maxTap/16)
	w.Output(Batch{"/a", Stdout, flood})
	w.Output(Batch{"/a", Stdout, flood})
	if lines, dropped, _ = tap.Next(t.Context()); len(lines) != maxTap/16 || dropped != maxTap/16 {
		t.Errorf("of a flood there are %d lines, and %d dropped", len(lines), dropped)
	}
	tap.Close()
	w.Output(Batch{"/a", Stdout, []byte("late\n")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if lines, _, err := tap.Next(ctx); err == nil {
		t.Errorf("a closed tap has %+v", lines)
	}
}
