package control

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asNobody runs f on a thread of its own with another user's credentials, and
// lets the thread end with them.
func asNobody(f func()) {
	runtime.LockOSThread()
	const nobody = 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		panic(errno)
	}
	f()
}

// talk writes bytes and reads the answer to its end.
func talk(t *testing.T, c *Client, text string) string {
	t.Helper()
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, text)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %.60q: %v", text, err)
	}
	return string(answer)
}

func TestBadRequestsGetAClearAnswer(t *testing.T) {
	_, c := serve(t)
	for _, x := range []struct{ request, status, says string }{
		{"garbage\r\n\r\n", "400", "request line"},
		{"\x00\xff\xfe\n\n", "400", "request line"},
		{"GET / HTTP/1.1\r\n\r\n", "404", "under /v1"},
		{"GET /v1/nothing HTTP/1.1\r\n\r\n", "404", "no such route"},
		{"GET /v1/paths/web HTTP/1.1\r\n\r\n", "404", "no such route"},
		{"DELETE /v1/status HTTP/1.1\r\n\r\n", "405", "only GET"},
		{"GET /v1/stop/web HTTP/1.1\r\n\r\n", "405", "only POST"},
		{"GET /v1/status HTTP/2.0\r\n\r\n", "505", "HTTP/1.1"},
		{"GET /v1/status%zz HTTP/1.1\r\n\r\n", "400", "target"},
		{"GET /v1/events?since=x HTTP/1.1\r\n\r\n", "400", "since"},
		{"GET /v1/events?since=-1 HTTP/1.1\r\n\r\n", "400", "since"},
		{"GET /v1/wait/web HTTP/1.1\r\n\r\n", "400", "for="},
		{"GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n", "400", "no colon"},
		{"POST /v1/add/ HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400", "content length"},
		{"POST /v1/add/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400", "content length"},
		{"POST /v1/add/ HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", "413", "4194304 are taken"},
		{"POST /v1/add/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411", "Content-Length"},
		{"POST /v1/add/ HTTP/1.1\r\nContent-Length: 3\r\n\r\n{]}", "400", "child to add"},
		{"GET /" + strings.Repeat("x", maxHead), "431", "longer than"},
		{"GET /v1/status HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead), "431", "longer than"},
	} {
		answer := talk(t, c, x.request)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+x.status+" ") || !strings.Contains(answer, x.says) {
			t.Errorf("%.60q is answered %q, want %s with %q", x.request, answer, x.status, x.says)
		}
	}
	if answer := talk(t, c, "GET /v1/status/web HTTP/1.0\n\n"); !strings.Contains(answer, `"path":"/web"`) {
		t.Errorf("a plain request is answered %q", answer)
	}
}

// Half requests, silence and hang-ups at every place harm nobody else.
func TestHalfARequest(t *testing.T) {
	_, c := serve(t)
	const whole = "POST /v1/signal/web?signal=HUP HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	for n := range len(whole) {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, whole[:n])
		conn.Close()
	}
	alive(t, c)
}

func TestTenThousandConnections(t *testing.T) {
	_, c := serve(t)
	const clients, each = 100, 100
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range each {
				conn, err := net.Dial("unix", c.Socket)
				if err != nil {
					continue // the backlog is full
				}
				if i%2 == 0 {
					io.WriteString(conn, "GET /v1/st")
				}
				defer conn.Close() // held to the end
			}
		})
	}
	all.Wait()
	alive(t, c)
}

// While the server is full of clients that say nothing, one that asks is
// answered: it takes the place of the oldest that did not.
func TestSilentClientsKeepNobodyOut(t *testing.T) {
	_, c := serve(t)
	for range 2 * maxConns {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	alive(t, c)
}

// Nor do those that have said something wrong, and take a while to go.
func TestClientsThatErrKeepNobodyOut(t *testing.T) {
	_, c := serve(t)
	for range maxConns {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "\x00\xff\r\n\r\n")
		conn.Read(make([]byte, 1))
	}
	alive(t, c)
}

func TestFollowersThatDoNotReadHarmNobody(t *testing.T) {
	f, c := serve(t)
	for range maxConns / 2 {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
		if _, err := bufio.NewReaderSize(conn, 16).ReadByte(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20_000 {
		f.runs("/web", 100+i, uint64(i))
	}
	alive(t, c)
}

func alive(t *testing.T, c *Client) {
	t.Helper()
	var n NodeStatus
	if err := c.Get(t.Context(), "status", "/web", nil, &n); err != nil || n.Path != "/web" {
		t.Errorf("the server does not answer any more: %+v, %v", n, err)
	}
}

func TestRandomBytesNeverBreakTheReader(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"GET", " ", "/v1/status", "HTTP/1.1", "\r\n", "\n", ":", "Content-Length: 5", "Expect: 100-continue", "\x00", "é", "%", "?", "="}
	for range 20_000 {
		var text strings.Builder
		for range random.IntN(12) {
			text.WriteString(parts[random.IntN(len(parts))])
		}
		r, err := readRequest(strings.NewReader(text.String()), func() {})
		if err == nil && r.method == "" {
			t.Fatalf("%q was read as %+v", text.String(), r)
		}
	}
}

func TestAnAnswerThatIsCutShortIsAnError(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "SSH-2.0\r\n\r\n", "HTTP/1.1 two\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 200)} {
		status, body, err := readResponse(strings.NewReader(answer))
		if err == nil {
			_, err = io.ReadAll(body)
		}
		if err == nil {
			t.Errorf("%.40q was taken, with status %d", answer, status)
		}
	}
	status, body, err := readResponse(strings.NewReader("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"))
	text, _ := io.ReadAll(body)
	if err != nil || status != 200 || string(text) != "ok" {
		t.Errorf("status %d, %q, %v", status, text, err)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Add("POST /v1/add/ HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := readRequest(strings.NewReader(text), func() {})
		if err == nil && (len(r.body) > maxBody || r.method == "") {
			t.Error(fmt.Sprint(r))
		}
	})
}
