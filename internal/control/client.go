package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoTree says that no tree answers at a socket.
var ErrNoTree = errors.New("no running tree answers")

// The bounds of a client.
const (
	maxLine   = 1 << 20 // bytes of one line of a stream
	busyWait  = 10 * time.Second
	busyPause = 10 * time.Millisecond
)

// Client asks the tree behind a socket. Its methods may be called from many
// goroutines; each call is a connection of its own. Their errors are a
// *Refused, ErrNoTree, the context's, or the connection's.
type Client struct {
	Socket string
}

// Get reads what a route answers into a value. The path is a node's, or "".
func (c *Client) Get(ctx context.Context, route, path string, query url.Values, into any) error {
	return c.ask(ctx, "GET", route, path, query, nil, into)
}

// Post gives an order, with a body if there is one to send, and reads the answer.
func (c *Client) Post(ctx context.Context, route, path string, query url.Values, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
	}
	return c.ask(ctx, "POST", route, path, query, text, into)
}

func (c *Client) ask(ctx context.Context, method, route, path string, query url.Values, body []byte, into any) error {
	answer, err := c.send(ctx, method, route, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(answer)
	if err != nil {
		return c.broken(ctx, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", c.Socket, err)
	}
	return nil
}

// Events calls yield with each record after since, as a line of JSON without
// its newline; with follow also with those to come, until the tree has ended.
// An error of yield ends it and is returned.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, yield func(line []byte) error) error {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}}
	if follow {
		query.Set("follow", "1")
	}
	return c.stream(ctx, "events", "", query, yield)
}

// FollowLogs calls yield with each line that the children at and below some
// paths have printed and will print, as a TapLine in JSON, until the tree has
// ended. n is how many of the kept lines of each come first.
func (c *Client) FollowLogs(ctx context.Context, paths []string, n uint64, yield func(line []byte) error) error {
	query := url.Values{"follow": {"1"}, "n": {strconv.FormatUint(n, 10)}, "path": paths[1:]}
	return c.stream(ctx, "logs", paths[0], query, yield)
}

// stream reads an answer line by line.
func (c *Client) stream(ctx context.Context, route, path string, query url.Values, yield func(line []byte) error) error {
	answer, err := c.send(ctx, "GET", route, path, query, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := yield(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.broken(ctx, err)
	}
	return ctx.Err()
}

// Shutdown stops the tree and, unless noWait, returns when its root is gone.
func (c *Client) Shutdown(ctx context.Context, noWait bool) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	gone := c.end(ctx, conn)
	conn.Close()
	var answer Answer
	query := url.Values{}
	if noWait {
		query.Set("no_wait", "1")
	}
	if err := c.Post(ctx, "shutdown", "", query, nil, &answer); err != nil {
		return err
	}
	if noWait {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end returns what is closed when the process behind a connection is gone; in
// another pid namespace, where its pid is not known, when its records end.
func (c *Client) end(ctx context.Context, conn *net.UnixConn) <-chan struct{} {
	gone := make(chan struct{})
	pidfd := -1
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && peer.Pid > 0 {
				pidfd, _ = unix.PidfdOpen(int(peer.Pid), 0)
			}
		})
	}
	go func() {
		defer close(gone)
		if pidfd < 0 {
			_ = c.Events(ctx, 0, true, func([]byte) error { return nil })
			return
		}
		defer unix.Close(pidfd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
			if err != unix.EINTR {
				return
			}
		}
	}()
	return gone
}

// answerBody is the body of an answer, with its connection.
type answerBody struct {
	io.Reader
	conn *net.UnixConn
	stop func() bool
}

func (b *answerBody) Close() {
	b.stop()
	b.conn.Close()
}

// send asks, and reads the head of the answer; what is no success is an error.
func (c *Client) send(ctx context.Context, method, route, path string, query url.Values, body []byte) (*answerBody, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	target := url.URL{Path: "/v1/" + route + strings.TrimSuffix(path, "/"), RawQuery: query.Encode()}
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: supervise\r\nContent-Length: %d\r\n\r\n", method, target.RequestURI(), len(body))
	answer := &answerBody{conn: conn, stop: stop}
	// A server that refuses may do so before it has read everything.
	_, writeErr := conn.Write(append(head, body...))
	status, rest, err := readResponse(conn)
	if err != nil {
		answer.Close()
		return nil, c.broken(ctx, errors.Join(err, writeErr))
	}
	answer.Reader = rest
	if status >= 300 {
		defer answer.Close()
		return nil, refusal(status, rest)
	}
	return answer, nil
}

// dial opens a connection. While others fill the socket's backlog it tries again.
func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	var dialer net.Dialer
	end := time.Now().Add(busyWait)
	for {
		conn, err := dialer.DialContext(ctx, "unix", c.Socket)
		switch {
		case err == nil:
			return conn.(*net.UnixConn), nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrPermission):
			return nil, &Refused{Word: WordNotPermitted, Detail: "opening " + c.Socket}
		case !errors.Is(err, unix.EAGAIN) || time.Now().After(end):
			return nil, fmt.Errorf("asking %s: %w (%v)", c.Socket, ErrNoTree, cause(err))
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// broken is a connection that ended in the middle.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("asking %s: %w (%v)", c.Socket, ErrNoTree, cause(err))
}

// readResponse reads the head of an answer and returns its body.
func readResponse(from io.Reader) (status int, body io.Reader, err error) {
	r := bufio.NewReader(from)
	length := int64(-1)
	for lines := 0; ; lines++ {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch key, value, _ := strings.Cut(line, ":"); {
		case status == 0:
			fields := strings.Fields(line)
			if len(fields) < 2 || !strings.HasPrefix(line, "HTTP/1.1 ") {
				return 0, nil, fmt.Errorf("reading the answer: %.100q is no status line", line)
			}
			if status, err = strconv.Atoi(fields[1]); err != nil {
				return 0, nil, fmt.Errorf("reading the answer: %.100q is no status line", line)
			}
		case line == "" && status == 100:
			status = 0
		case line == "" && length >= 0:
			return status, &exactReader{r, length}, nil
		case line == "":
			return status, r, nil
		case strings.EqualFold(key, "Content-Length"):
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 63); err != nil {
				return 0, nil, fmt.Errorf("reading the answer: %.100q is no length", value)
			}
		case lines > 100:
			return 0, nil, errors.New("reading the answer: its head does not end")
		}
	}
}

// exactReader is a body of a known length; a shorter one is an error.
type exactReader struct {
	from io.Reader
	left int64
}

func (r *exactReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.from.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// refusal is an answer that is no success.
func refusal(status int, body io.Reader) error {
	var said errorBody
	text, err := io.ReadAll(io.LimitReader(body, maxLine))
	if err == nil {
		err = json.Unmarshal(bytes.TrimSpace(text), &said)
	}
	if err != nil || said.Error == "" {
		return fmt.Errorf("reading an answer with status %d: %.200q", status, text)
	}
	return &Refused{Word: said.Error, Detail: said.Message}
}
