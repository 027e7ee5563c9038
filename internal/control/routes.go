package control

import (
	"cmp"
	"context"
	"io"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
)

// Route is one line of what /v1 answers.
type Route struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	About  string `json:"about"`

	serve func(*call) error
}

// routes are all routes; the path of a node of the tree follows the name.
func routes() []Route {
	return []Route{
		{"GET", "/v1", "these routes", (*call).index},
		{"GET", "/v1/version", "what is running", (*call).version},
		{"GET", "/v1/status/PATH", "the state of a node with all below it; no PATH: of the whole tree", (*call).status},
		{"GET", "/v1/paths", "every path of the tree, in start order", (*call).paths},
		{"GET", "/v1/events", "one record a line; since=N: only those after number N; follow=1: and those to come", (*call).events},
		{"GET", "/v1/logs/PATH", "the last lines that a child, or all below a supervisor, printed; n=N: so many of each; " +
			"follow=1: then those to come, one a line, also of path=PATH…", (*call).logs},
		{"GET", "/v1/why/PATH", "why a node is in its state, in a paragraph", (*call).why},
		{"GET", "/v1/wait/PATH", "for=up|ready|down: answers when it is so; timeout=5s", (*call).wait},
		{"POST", "/v1/start/PATH", "start a child that is down (restart_child)", (*call).order},
		{"POST", "/v1/stop/PATH", "stop a child and leave it down (terminate_child)", (*call).order},
		{"POST", "/v1/restart/PATH", "stop and start a child; the limit does not count it", (*call).order},
		{"POST", "/v1/add/PATH", "start a new child of the supervisor at PATH (start_child); the body is its spec, or {\"args\": […]} for an instance", (*call).order},
		{"POST", "/v1/remove/PATH", "forget a child that is down (delete_child)", (*call).order},
		{"POST", "/v1/signal/PATH", "signal=HUP: send a signal to a child's main process", (*call).order},
		{"POST", "/v1/call", "call a worker; the body is {\"to\", \"method\", \"payload\"}, to a name, a /path or an address; timeout=5s", (*call).talk},
		{"POST", "/v1/cast", "cast to workers; the body is the same, and to may be group:NAME", (*call).tell},
		{"GET", "/v1/names", "the registered names, and who holds them", (*call).names},
		{"POST", "/v1/shutdown", "stop the whole tree in order; the answer comes when that has begun", (*call).order},
	}
}

// call is one request that is being answered.
type call struct {
	*httpRequest
	server *Server
	conn   *net.UnixConn
	verb   string // the route's name
	node   string // the path in the tree
}

// answer finds the route and serves it.
func (s *Server) answer(conn *net.UnixConn, r *httpRequest) {
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	c := &call{httpRequest: r, server: s, conn: conn}
	if err := c.dispatch(); err != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		writeError(conn, err)
	}
}

func (c *call) dispatch() error {
	rest, ok := strings.CutPrefix(c.path, "/v1")
	if !ok || rest != "" && rest[0] != '/' {
		return &httpError{404, "asking for " + strconv.Quote(c.path) + ": everything here is under /v1, which lists it"}
	}
	name, node, deep := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	c.verb, c.node = name, path.Clean("/"+node)
	for _, route := range routes() {
		base, takesPath := strings.CutSuffix(route.Path, "/PATH")
		if base != strings.TrimSuffix("/v1/"+name, "/") || deep && node != "" && !takesPath {
			continue
		}
		if c.method != route.Method {
			return &httpError{405, "asking for " + base + ": only " + route.Method + " is answered"}
		}
		return route.serve(c)
	}
	return &httpError{404, "asking for " + strconv.Quote(c.path) + ": there is no such route; /v1 lists them"}
}

func (c *call) index() error   { return writeJSON(c.conn, 200, routes()) }
func (c *call) version() error { return writeJSON(c.conn, 200, c.server.tree.Info()) }

func (c *call) paths() error {
	var paths []string
	c.journal().View(func(f *journal.Fold) { paths = f.Paths() })
	return writeJSON(c.conn, 200, paths)
}

func (c *call) journal() *journal.Store { return c.server.tree.Journal() }

// NodeStatus is the answer of /v1/status: of a single worker also its last
// lines and, if it has one, its channel.
type NodeStatus struct {
	*journal.Node
	Output  []output.Line `json:"output,omitempty"`
	Channel *Channel      `json:"channel,omitempty"`
}

func (c *call) status() error {
	n := c.journal().Status(c.node)
	if n == nil {
		return &Refused{Word: "not_found", Detail: "there is no " + c.node}
	}
	answer := NodeStatus{Node: n}
	if n.Children == nil {
		answer.Output, _ = c.lines(c.node, output.KeptLines)
	}
	if n.Kind == "worker" && n.Pid != 0 {
		answer.Channel = c.channel(c.node)
	}
	return writeJSON(c.conn, 200, answer)
}

// Explanation is the answer of /v1/why.
type Explanation struct {
	Path   string        `json:"path"`
	Why    string        `json:"why"`
	Output []output.Line `json:"output,omitempty"`
}

func (c *call) why() error {
	text, known := c.journal().Why(c.node, time.Now())
	if !known {
		return &Refused{Word: "not_found", Detail: "there is no " + c.node}
	}
	lines, _ := c.lines(c.node, output.KeptLines)
	return writeJSON(c.conn, 200, Explanation{c.node, text, lines})
}

// events writes records as they are, and never knows what they say.
func (c *call) events() error {
	since, err := strconv.ParseUint(cmp.Or(c.query.Get("since"), "0"), 10, 64)
	if err != nil {
		return badRequest("reading since=%.40q: it is no number", c.query.Get("since"))
	}
	follow, err := c.flag("follow")
	if err != nil {
		return err
	}
	ctx := c.server.ctx
	if follow {
		var cancel context.CancelFunc
		ctx, cancel = c.whileThere(ctx)
		defer cancel()
		_ = c.conn.SetWriteDeadline(time.Time{})
	}
	if _, err := c.conn.Write(responseHead(200, -1, "application/x-ndjson")); err != nil {
		return nil // the client has gone, and there is nobody to tell
	}
	var buf []byte
	for ended := !follow; ; {
		var next uint64
		if buf, next = c.journal().Read(since, buf[:0]); next != since {
			since = next
			if _, err := c.conn.Write(buf); err != nil {
				return nil
			}
			continue
		}
		if ended {
			return nil
		}
		ended = c.journal().Follow(ctx, since) != nil
	}
}

// flag is a yes or no of the query; no, if nothing is said.
func (c *call) flag(name string) (bool, error) {
	yes, err := strconv.ParseBool(cmp.Or(c.query.Get(name), "0"))
	if err != nil {
		return false, badRequest("reading %s=%.40q: it is neither 0 nor 1", name, c.query.Get(name))
	}
	return yes, nil
}

// whileThere is a context that also ends when the client goes away. The caller
// must not read from the connection afterwards, and close it in the end.
func (c *call) whileThere(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	_ = c.conn.SetReadDeadline(time.Time{})
	go func() {
		_, _ = io.Copy(io.Discard, c.conn)
		cancel()
	}()
	return ctx, cancel
}
