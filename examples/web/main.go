// Web is a worker that is no server of calls: HTTP with readiness, an orderly
// end, and a cast to read its pages again.
package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/supertrees/supervise/proc"
)

// Reload has the worker read its pages again.
const Reload proc.Cast[proc.None] = "reload"

// site is a directory of pages, read at once.
type site struct {
	dir   fs.FS
	pages atomic.Pointer[map[string][]byte]
}

func (s *site) load() error {
	pages := map[string][]byte{}
	err := fs.WalkDir(s.dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		page, err := fs.ReadFile(s.dir, path)
		pages["/"+path] = page
		return err
	})
	if err == nil {
		s.pages.Store(&pages)
	}
	return err
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, ok := (*s.pages.Load())[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(page) // a client that went away
}

// web serves dir at addr.
func web(dir fs.FS, addr string) proc.Init {
	return func(s *proc.Server) error {
		site := &site{dir: dir}
		if err := site.load(); err != nil {
			return err // shown as the reason of the failed start
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: site}
		s.Go(func(context.Context) error {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		s.OnTerminate(func(ctx context.Context, _ proc.Reason) error { return srv.Shutdown(ctx) }) // ctx: what is left of the shutdown time
		Reload.Handle(s, func(context.Context, proc.None) error { return site.load() })
		proc.Status("listening on %s", ln.Addr())
		return nil // ready
	}
}

func main() {
	dir, addr := "site", ":8080"
	if len(os.Args) > 2 {
		dir, addr = os.Args[1], os.Args[2]
	}
	proc.Main(web(os.DirFS(dir), addr))
}
