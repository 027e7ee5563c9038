package ready

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// answerBound is the most of an HTTP answer that is looked at: its first line.
const answerBound = 1 << 10

// askHTTP asks a URL once, and is content with any status from 200 to 399.
//
// One GET whose answer's first line is read is all that a probe needs. The
// whole of net/http, with TLS, would cost each node of a tree more than a
// quarter of its memory: docs/decisions/http.md has the figures.
func askHTTP(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	status, err := get(conn, u)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case status < 200 || status > 399:
		return fmt.Errorf("it answered %d", status)
	}
	return nil
}

var errNoHTTP = errors.New("its answer is no HTTP")

// get sends the request and reads the status of the answer.
func get(conn net.Conn, u *url.URL) (status int, err error) {
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: supervise\r\nConnection: close\r\n\r\n", u.RequestURI(), u.Host)
	if err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, answerBound)).ReadString('\n')
	if err != nil && err != io.EOF {
		return 0, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if status, err = strconv.Atoi(code); err != nil || len(code) != 3 || !strings.HasPrefix(version, "HTTP/") {
		return 0, errNoHTTP
	}
	return status, nil
}
