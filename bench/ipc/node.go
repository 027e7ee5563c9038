package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/supertrees/supervise/internal/board"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

// add makes the channel of a worker, and returns its ends of it.
func add(b *board.Board, path string) (p *board.Port, r, w *os.File) {
	p, err := b.AddWorker(path, 1, board.Frames, ipc.Hello{MaxMessage: 1 << 20})
	check(err)
	r, w = os.NewFile(uintptr(p.Theirs[0]), "r"), os.NewFile(uintptr(p.Theirs[1]), "w")
	p.Theirs = [2]int{-1, -1}
	return p, r, w
}

// role is this program again, as a worker with the descriptors of a channel.
func role(name string, files ...*os.File) *exec.Cmd {
	self, err := os.Executable()
	check(err)
	cmd := exec.Command(self, name)
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "SUPERVISE_CHANNEL=3,4", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// relayed is a call from one worker to another through the board of this
// process.
func (b *bench) relayed() float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	node, err := board.NewRoot(nil)
	check(err)
	defer node.Close()
	other, r, w := add(node, "/other")
	worker := role("worker", r, w)
	check(worker.Start())
	r.Close()
	w.Close()
	from, r, w := add(node, "/caller")
	caller := role("caller", r, w)
	var out bytes.Buffer
	caller.Stdout = &out
	check(caller.Start())
	r.Close()
	w.Close()
	check(ignoreExit(caller.Wait()))
	node.End(from, ipc.Down{Reason: "normal"})
	node.End(other, ipc.Down{Reason: "normal"})
	check(ignoreExit(worker.Wait()))
	us, err := strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
	check(err)
	return us
}

// callOther is the part of the caller of relayed.
func (b *bench) callOther() float64 {
	s, err := proc.Attach(func(*proc.Server) error { return nil })
	check(err)
	ctx := s.Context(context.Background())
	payload := make(proc.Raw, 64)
	return b.p50(func() {
		_, err := echoRaw.Call(ctx, proc.Name("/other"), payload)
		check(err)
	})
}

// fanOut is the rate of calls from a node to n workers by so many callers, in
// thousands a second, and the memory that the node has for a channel, in KiB.
// All workers are in one other process: so many would measure the scheduler.
func (b *bench) fanOut(n, callers int) (rate, size float64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	node, err := board.NewRoot(nil)
	check(err)
	defer node.Close()
	before := inUse()
	var ports []*board.Port
	var files []*os.File
	for i := range n {
		p, r, w := add(node, fmt.Sprint("/w", i))
		ports, files = append(ports, p), append(files, r, w)
	}
	cmd := role("farm", files...)
	cmd.Args = append(cmd.Args, strconv.Itoa(n))
	check(cmd.Start())
	for _, f := range files {
		f.Close()
	}
	payload := make([]byte, 64)
	call := func(p *board.Port) {
		_, err := node.Call(context.Background(), ipc.Message{Method: string(echoRaw), Codec: ipc.CodecRaw, Dst: p.Addr(), Payload: payload})
		check(err)
	}
	for _, p := range ports {
		call(p)
	}
	var wg sync.WaitGroup
	counts := make([]int, callers)
	begun := time.Now()
	for c := range callers {
		wg.Go(func() {
			for i := c; time.Since(begun) < b.d; i += callers {
				call(ports[i%n])
				counts[c]++
			}
		})
	}
	wg.Wait()
	took := time.Since(begun).Seconds()
	clear(files)
	cmd.ExtraFiles = nil
	size = float64(inUse()-before) / float64(n) / 1024
	total := 0
	for _, k := range counts {
		total += k
	}
	for _, p := range ports {
		node.End(p, ipc.Down{Reason: "normal"})
	}
	check(ignoreExit(cmd.Wait()))
	return float64(total) / took / 1e3, size
}

// inUse is the memory that holds living objects and stacks, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// farm is a process of n workers, whose channels begin at descriptor 3.
func farm(n string) {
	many, err := strconv.Atoi(n)
	check(err)
	var wg sync.WaitGroup
	for i := range many {
		fd := 3 + 2*i
		check(syscall.SetNonblock(fd, true)) // a pipe that blocks would take a thread for each read
		check(syscall.SetNonblock(fd+1, true))
		r, w := os.NewFile(uintptr(fd), "r"), os.NewFile(uintptr(fd+1), "w")
		wg.Go(func() { check(proc.ServeOver(context.Background(), r, w, worker)) })
	}
	wg.Wait()
}
