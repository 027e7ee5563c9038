// Updater fetches a page every second and knows the last one.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/supertrees/supervise/proc"
)

// State is how far the updater is.
type State struct {
	Times int
	Last  string
}

// The protocol of the updater.
const (
	Updater proc.Name                   = "updater"
	Latest  proc.Call[proc.None, State] = "latest"
)

// most is how much of a page is kept.
const most = 4 << 10

func updater(fetch func(context.Context) (string, error)) proc.Init {
	return func(s *proc.Server) error {
		var state State
		proc.State(s, &state)
		s.SendInterval(time.Second, func(ctx context.Context) error {
			page, err := fetch(ctx)
			if err != nil {
				return err // logged; the next tick tries again
			}
			state = State{state.Times + 1, page}
			return nil
		})
		Latest.Handle(s, func(context.Context, proc.None) (State, error) { return state, nil })
		return s.Register(Updater)
	}
}

// get fetches a URL.
func get(url string) func(context.Context) (string, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	return func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(io.LimitReader(resp.Body, most))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("fetching %s: %s", url, resp.Status)
		}
		return string(page), err
	}
}

func main() {
	url := "http://localhost:8080/"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	proc.Main(updater(get(url)))
}
