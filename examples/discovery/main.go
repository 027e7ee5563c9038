// Discovery is services that say where they are: a name is held by one life,
// and free again when it ends.
package main

import (
	"context"
	"os"

	"github.com/supertrees/supervise/proc"
)

// URL is the protocol of every service.
const URL proc.Call[proc.None, string] = "url"

// service answers to its name.
func service(name proc.Name, url string) proc.Init {
	return func(s *proc.Server) error {
		URL.Handle(s, func(context.Context, proc.None) (string, error) { return url, nil })
		return s.Register(name)
	}
}

func main() {
	services := map[string]proc.Init{
		"web": service("web", "http://localhost:8080"),
		"db":  service("db", "postgres://localhost:5432"),
	}
	if len(os.Args) > 1 && services[os.Args[1]] != nil {
		proc.Main(services[os.Args[1]])
	}
	os.Exit(64)
}
