package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// plainRelay is the way of relayed with plain pipes and 64 bytes.
func (b *bench) plainRelay() float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, w, stop := child("relay", 1, nil)
	defer stop()
	return b.pingPong(r, w)
}

func relayMain() {
	runtime.GOMAXPROCS(1)
	up, down := os.NewFile(3, "r"), os.NewFile(4, "w")
	r, w, stop := child("echo", 1, nil)
	copyAll := func(to io.Writer, from io.Reader) {
		buf := make([]byte, 64<<10)
		for {
			k, err := from.Read(buf)
			if err != nil {
				return
			}
			_, err = to.Write(buf[:k])
			check(err)
		}
	}
	go copyAll(down, r)
	copyAll(w, up)
	stop()
	os.Exit(0)
}

// pingC is the limit: one process, forked, two pipes, no runtime.
const pingC = `
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static int cmp(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }
int main(int argc, char **argv) {
	int down[2], up[2], n = atoi(argv[1]);
	char buf[64] = {0};
	double *t = malloc(n * sizeof *t);
	if (pipe(down) || pipe(up)) return 1;
	if (fork() == 0) {
		close(down[1]);
		while (read(down[0], buf, 64) == 64) if (write(up[1], buf, 64) != 64) return 1;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		if (write(down[1], buf, 64) != 64 || read(up[0], buf, 64) != 64) return 1;
		clock_gettime(CLOCK_MONOTONIC, &b);
		t[i] = (b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3;
	}
	qsort(t, n, sizeof *t, cmp);
	printf("%f\n", t[n / 2]);
	return 0;
}
`

func buildC() (path string, err error) {
	dir, err := os.MkdirTemp("", "pingc")
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "ping.c")
	if err := os.WriteFile(source, []byte(pingC), 0o600); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "ping")
	return path, exec.Command("cc", "-O2", "-o", path, source).Run()
}

func (b *bench) plainC(path string) float64 {
	out, err := exec.Command(path, strconv.Itoa(int(b.d.Seconds()*100_000))).Output()
	check(err)
	us, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	check(err)
	return us
}
