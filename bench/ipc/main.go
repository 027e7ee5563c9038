// Ipc measures calls and casts between processes through package proc, beside
// the limits of the same run: plain pipes in C and in Go.
//
//	go run ./bench/ipc [-d 1s] [-rounds 3] [-run regexp] [-profile directory]
//
// Every row is the median of its rounds; its ratio is to the limit that it
// names, in the same run. With -run only rows that match are measured, with
// -profile the CPU profiles of this process (parent) and of the last worker
// stand in the directory afterwards. Peers are measured from the repository's
// root.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/proc"
)

const (
	echoRaw  proc.Call[proc.Raw, proc.Raw] = "raw"
	echoJSON proc.Call[order, order]       = "json"
	noteRaw  proc.Cast[proc.Raw]           = "note"
	noteJSON proc.Cast[order]              = "order"
	count    proc.Call[proc.None, int]     = "count"
)

// order is a small JSON payload.
type order struct {
	Who    string `json:"who"`
	Amount int    `json:"amount"`
	Note   string `json:"note"`
}

var small = order{"Joe", 25, "the usual"}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "worker":
			defer profile("worker")()
			check(proc.Serve(context.Background(), worker))
			return
		case "echo", "echo-poller":
			plainEcho(os.Args[1] == "echo-poller")
		case "caller":
			b := &bench{d: time.Second}
			fmt.Println(b.callOther())
			return
		case "rpc":
			rpcMain()
			return
		case "farm":
			farm(os.Args[2])
			return
		case "relay":
			relayMain()
		}
	}
	d := flag.Duration("d", time.Second, "how long each measurement takes")
	rounds := flag.Int("rounds", 3, "measurements a row")
	only := flag.String("run", "", "measure only the rows whose names match this regular expression")
	profiles := flag.String("profile", "", "write CPU profiles into this directory")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	check(err)
	b := &bench{d: *d, rounds: *rounds, only: wanted}
	if *profiles != "" {
		check(os.Setenv(profileEnv, *profiles))
		defer profile("parent")()
	}
	b.run()
}

// profileEnv tells workers where their profiles go.
const profileEnv = "BENCH_PROFILE"

// profile profiles this process until stop, if that was asked for.
func profile(role string) (stop func()) {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return func() {}
	}
	f, err := os.Create(filepath.Join(dir, role+".pprof"))
	check(err)
	check(pprof.StartCPUProfile(f))
	return func() { pprof.StopCPUProfile(); check(f.Close()) }
}

func worker(s *proc.Server) error {
	n := 0
	echoRaw.Handle(s, func(_ context.Context, b proc.Raw) (proc.Raw, error) { return b, nil })
	echoJSON.Handle(s, func(_ context.Context, o order) (order, error) { return o, nil })
	noteRaw.Handle(s, func(context.Context, proc.Raw) error { n++; return nil })
	noteJSON.Handle(s, func(context.Context, order) error { n++; return nil })
	count.Handle(s, func(context.Context, proc.None) (int, error) { return n, nil })
	return nil
}

// plainEcho answers 64 bytes with 64 bytes. It waits in read, or like proc in the
// runtime's poller, which has other goroutines to wait for.
func plainEcho(poller bool) {
	if poller {
		check(syscall.SetNonblock(3, true))
		check(syscall.SetNonblock(4, true))
	}
	r, w := os.NewFile(3, "r"), os.NewFile(4, "w")
	buf := make([]byte, 64)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			os.Exit(0)
		}
		if _, err := w.Write(buf); err != nil {
			os.Exit(1)
		}
	}
}

type bench struct {
	d      time.Duration
	rounds int
	only   *regexp.Regexp // names of rows
}

// row prints the median of a measurement, and its ratio to a limit.
func (b *bench) row(name, unit string, limit float64, measure func() float64) float64 {
	if !b.wanted(name) {
		return 0
	}
	var all []float64
	for range b.rounds {
		all = append(all, measure())
	}
	slices.Sort(all)
	median := all[len(all)/2]
	ratio := ""
	if limit > 0 {
		ratio = fmt.Sprintf("%.2f", median/limit)
	}
	fmt.Printf("%-58s %12.2f %-8s %s\n", name, median, unit, ratio)
	return median
}

func (b *bench) wanted(row string) bool { return b.only.MatchString(row) }

func (b *bench) run() {
	fmt.Printf("%-58s %12s %-8s %s\n", "row (GOMAXPROCS of both ends)", "median", "", "ratio")
	limit := 0.0
	if path, err := buildC(); err == nil {
		b.row("C pipes, 64 B there and back", "us", 0, func() float64 { return b.plainC(path) })
		check(os.RemoveAll(filepath.Dir(path))) // a folder of its own
	} else {
		fmt.Println("C pipes: not measured:", err)
	}
	limit = b.row("plain Go pipes, 64 B there and back (1)", "us", 0, func() float64 { return b.plainGo("echo", 1) })
	b.row("the same, both ends in the poller (1)", "us", limit, func() float64 { return b.plainGo("echo-poller", 1) })
	for _, p := range []int{1, 2} {
		b.row(fmt.Sprintf("proc call, 64 B raw, 1 caller (%d)", p), "us", limit, func() float64 { return b.latency(p, raw) })
		b.row(fmt.Sprintf("proc call, 64 B raw, 1 caller, CPU of both ends (%d)", p), "us", 0, func() float64 { return b.cpu(p) })
		b.row(fmt.Sprintf("proc call, JSON, 1 caller (%d)", p), "us", limit, func() float64 { return b.latency(p, asJSON) })
		for _, callers := range []int{16, 256} {
			b.row(fmt.Sprintf("proc calls, 64 B raw, %d callers (%d)", callers, p), "1000/s", 0, func() float64 { return b.throughput(p, callers, raw) })
		}
		b.row(fmt.Sprintf("proc calls, JSON, 256 callers (%d)", p), "1000/s", 0, func() float64 { return b.throughput(p, 256, asJSON) })
		b.row(fmt.Sprintf("proc casts, 64 B raw (%d)", p), "M/s", 0, func() float64 { return b.casts(p, 64) / 1e6 })
		b.row(fmt.Sprintf("proc casts, JSON (%d)", p), "M/s", 0, func() float64 { return b.casts(p, 0) / 1e6 })
		b.row(fmt.Sprintf("proc casts, 64 KiB raw (%d)", p), "GB/s", 0, func() float64 { return b.casts(p, 65536) * 65536 / 1e9 })
	}
	for _, p := range []int{1, 2} {
		b.row(fmt.Sprintf("net/rpc over pipes: call, 64 B, 1 caller (%d)", p), "us", limit, func() float64 { return b.rpc(p, 1) })
		b.row(fmt.Sprintf("net/rpc over pipes: calls, 64 B, 256 callers (%d)", p), "1000/s", 0, func() float64 { return b.rpc(p, 256) })
	}
	b.peerRows(limit)
	relayed := b.row("two plain Go pipes and a relay between (1)", "us", 0, func() float64 { return b.plainRelay() })
	b.row("worker, node, worker: call, 64 B raw (1)", "us", relayed, func() float64 { return b.relayed() })
	var size float64
	b.row("node to 1,000 workers: calls, 64 B raw, 64 callers (1)", "1000/s", 0, func() (rate float64) { rate, size = b.fanOut(1000, 64); return rate })
	b.row("memory of the node, a channel, of 1,000", "KiB", 0, func() float64 {
		if size == 0 {
			_, size = b.fanOut(1000, 64)
		}
		return size
	})
}

// child starts this program again over a pair of pipes. first stands in the one
// from it already.
func child(role string, procs int, first []byte) (r, w *os.File, stop func()) {
	self, err := os.Executable()
	check(err)
	cmd := exec.Command(self, role)
	fromChild, childW, err := os.Pipe()
	check(err)
	_, err = childW.Write(first)
	check(err)
	childR, toChild, err := os.Pipe()
	check(err)
	cmd.ExtraFiles = []*os.File{childR, childW}
	cmd.Env = append(os.Environ(), "SUPERVISE_CHANNEL=3,4", "GOMAXPROCS="+strconv.Itoa(procs))
	cmd.Stderr = os.Stderr
	check(cmd.Start())
	childR.Close()
	childW.Close()
	return fromChild, toChild, func() { toChild.Close(); fromChild.Close(); check(ignoreExit(cmd.Wait())) }
}

// ignoreExit forgives the exit status: the channel's end is not an order.
func ignoreExit(err error) error {
	if _, ok := err.(*exec.ExitError); ok {
		return nil
	}
	return err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/ipc:", err)
		os.Exit(1)
	}
}

func (b *bench) plainGo(role string, procs int) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	r, w, stop := child(role, procs, nil)
	defer stop()
	return b.pingPong(r, w)
}

func (b *bench) pingPong(r io.Reader, w io.Writer) float64 {
	buf := make([]byte, 64)
	return b.p50(func() {
		_, err := w.Write(buf)
		check(err)
		_, err = io.ReadFull(r, buf)
		check(err)
	})
}

// p50 is the median time of f, in µs.
func (b *bench) p50(f func()) float64 {
	for range 1000 {
		f()
	}
	var times []time.Duration
	for end := time.Now().Add(b.d); time.Now().Before(end); {
		begun := time.Now()
		f()
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	return float64(times[len(times)/2]) / 1e3
}

// hello is what a node writes first.
func hello(addr ipc.Addr) []byte {
	payload, err := json.Marshal(ipc.Hello{Protocol: []int{1}, Path: "/bench", Addr: addr, Incarnation: 1, Window: 1024, MaxMessage: 1 << 20})
	check(err)
	var m = ipc.Message{Type: ipc.Cast, Codec: ipc.CodecJSON, Method: ipc.VerbHello, Payload: payload}
	f, err := m.Frame(nil)
	check(err)
	return f.Append(nil)
}

// pair is a worker in a process of its own, and this process as the other end
// of its channel.
func pair(procs int) (ctx context.Context, stop func()) {
	old := runtime.GOMAXPROCS(procs)
	r, w, end := child("worker", procs, hello(ipc.NewAddr(1, 1)))
	_, err := w.Write(hello(ipc.NewAddr(1, 2)))
	check(err)
	s, err := proc.AttachOver(r, w, func(*proc.Server) error { return nil })
	check(err)
	return s.Context(context.Background()), func() { end(); runtime.GOMAXPROCS(old) }
}

const other proc.Name = "other"

func raw(ctx context.Context, b proc.Raw) {
	_, err := echoRaw.Call(ctx, other, b)
	check(err)
}

func asJSON(ctx context.Context, _ proc.Raw) {
	_, err := echoJSON.Call(ctx, other, small)
	check(err)
}

func (b *bench) latency(procs int, call func(context.Context, proc.Raw)) float64 {
	ctx, stop := pair(procs)
	defer stop()
	payload := make(proc.Raw, 64)
	return b.p50(func() { call(ctx, payload) })
}

// cpu is the CPU time that one of n calls cost both ends together, in µs.
func (b *bench) cpu(procs int) float64 {
	before := used()
	ctx, stop := pair(procs)
	payload := make(proc.Raw, 64)
	n := 0
	for begun := time.Now(); time.Since(begun) < b.d; n++ {
		raw(ctx, payload)
	}
	stop()
	return float64(used()-before) / 1e3 / float64(n)
}

// used is the CPU time of this process and of those that it has waited for.
func used() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		check(syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func (b *bench) throughput(procs, callers int, call func(context.Context, proc.Raw)) float64 {
	ctx, stop := pair(procs)
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	begun := time.Now()
	for range callers {
		wg.Go(func() {
			payload := make(proc.Raw, 64)
			n := 0
			for ; time.Since(begun) < b.d; n++ {
				call(ctx, payload)
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	wg.Wait()
	return float64(total) / time.Since(begun).Seconds() / 1e3
}

// casts is how many casts a second are handled; size 0 is JSON.
func (b *bench) casts(procs, size int) float64 {
	ctx, stop := pair(procs)
	defer stop()
	payload := make(proc.Raw, size)
	n := 0
	begun := time.Now()
	for ; n%256 != 0 || time.Since(begun) < b.d; n++ {
		if size == 0 {
			check(noteJSON.Cast(ctx, other, small))
		} else {
			check(noteRaw.Cast(ctx, other, payload))
		}
	}
	got, err := count.Call(proc.Forever(ctx), other, proc.None{})
	check(err)
	took := time.Since(begun).Seconds()
	if got != n {
		fmt.Printf("    (%d of %d casts were dropped: the mailbox was full)\n", n-got, n)
	}
	return float64(got) / took
}
