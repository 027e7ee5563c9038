// Peers measures hashicorp/go-plugin, with net/rpc, its default: this program
// is the host, and started again the plugin.
//
//	peers call|calls|bulk SECONDS
//
// It prints the µs of a call alone (call), how many calls a second 256 callers
// make (calls), or the bytes a second that 16 callers hand over in 64 KiB
// (bulk).
package main

import (
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

const (
	small       = 64
	large       = 64 << 10
	manyCallers = 256
	bulkCallers = 16
	warmUp      = 1000 // calls
)

// Echo is the plugin's service.
type Echo struct{}

// Raw answers with what it is asked.
func (Echo) Raw(in []byte, out *[]byte) error { *out = in; return nil }

// Take takes bytes and says how many.
func (Echo) Take(in []byte, out *int) error { *out = len(in); return nil }

type echoPlugin struct{}

func (echoPlugin) Server(*plugin.MuxBroker) (any, error) { return Echo{}, nil }
func (echoPlugin) Client(_ *plugin.MuxBroker, c *rpc.Client) (any, error) {
	return c, nil
}

func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "BENCH_PEERS", MagicCookieValue: "echo"}
}

func plugins() plugin.PluginSet { return plugin.PluginSet{"echo": echoPlugin{}} }

func main() {
	if len(os.Args) == 2 && os.Args[1] == "plugin" {
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake(), Plugins: plugins(), Logger: hclog.NewNullLogger()})
		return
	}
	if len(os.Args) != 3 {
		check(fmt.Errorf("peers takes call, calls or bulk, and the seconds"))
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	check(err)
	value, err := measure(os.Args[1], time.Duration(seconds*float64(time.Second)))
	check(err)
	fmt.Println(value)
}

func measure(what string, d time.Duration) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	host := plugin.NewClient(&plugin.ClientConfig{HandshakeConfig: handshake(), Plugins: plugins(), Cmd: exec.Command(self, "plugin"), Logger: hclog.NewNullLogger()})
	defer host.Kill()
	protocol, err := host.Client()
	if err != nil {
		return 0, err
	}
	dispensed, err := protocol.Dispense("echo")
	if err != nil {
		return 0, err
	}
	client := dispensed.(*rpc.Client)
	raw := func() {
		var out []byte
		check(client.Call("Plugin.Raw", make([]byte, small), &out))
	}
	switch what {
	case "call":
		return p50(raw, d), nil
	case "calls":
		return rate(raw, manyCallers, d), nil
	case "bulk":
		payload := make([]byte, large)
		return rate(func() {
			n := 0
			check(client.Call("Plugin.Take", payload, &n))
		}, bulkCallers, d) * large, nil
	}
	return 0, fmt.Errorf("peers measures call, calls and bulk, and not %q", what)
}

// p50 is the median time of f, in µs.
func p50(f func(), d time.Duration) float64 {
	for range warmUp {
		f()
	}
	var times []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); {
		begun := time.Now()
		f()
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	return float64(times[len(times)/2]) / 1e3
}

// rate is how often a second so many callers do f.
func rate(f func(), callers int, d time.Duration) float64 {
	var wg sync.WaitGroup
	counts := make([]int, callers)
	begun := time.Now()
	for c := range callers {
		wg.Go(func() {
			for time.Since(begun) < d {
				f()
				counts[c]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begun).Seconds()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/peers:", err)
		os.Exit(1)
	}
}
