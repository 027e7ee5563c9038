package main

import (
	"io"
	"net/rpc"
	"os"
	"runtime"
	"sync"
	"time"
)

// Echo is the service of net/rpc, the peer that every Go program has.
type Echo struct{}

// Raw answers with what it is asked.
func (Echo) Raw(in []byte, out *[]byte) error { *out = in; return nil }

// pipes is a pair of pipes as one connection.
type pipes struct {
	io.Reader
	io.WriteCloser
}

func rpcMain() {
	s := rpc.NewServer()
	check(s.Register(Echo{}))
	s.ServeConn(pipes{os.NewFile(3, "r"), os.NewFile(4, "w")})
}

// rpc is a peer: a call alone in µs, or with many callers the rate in
// thousands a second.
func (b *bench) rpc(procs, callers int) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	r, w, stop := child("rpc", procs, nil)
	defer stop()
	client := rpc.NewClient(pipes{r, w})
	payload := make([]byte, 64)
	call := func() {
		var out []byte
		check(client.Call("Echo.Raw", payload, &out))
	}
	if callers == 1 {
		return b.p50(call)
	}
	var wg sync.WaitGroup
	counts := make([]int, callers)
	begun := time.Now()
	for c := range callers {
		wg.Go(func() {
			for time.Since(begun) < b.d {
				call()
				counts[c]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begun).Seconds() / 1e3
}
