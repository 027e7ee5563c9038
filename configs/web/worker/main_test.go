package main

import (
	"bufio"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

// A redis of a few lines stands in for the real one, which the test of the
// whole stack runs.
func TestAVisitIsCountedByRedis(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go fakeRedis(listener)

	h := handler(&redis{addr: listener.Addr().String()})
	for path, want := range map[string]string{"/": "visit 41\n", "/healthz": "ok\n"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("GET %s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
}

func TestWithoutRedisTheAnswerSaysSo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	w := httptest.NewRecorder()
	handler(&redis{addr: addr}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 502 || !strings.Contains(w.Body.String(), "asking redis at "+addr) {
		t.Errorf("GET /: %d %q", w.Code, w.Body)
	}
}

// fakeRedis answers PING and INCR on one connection.
func fakeRedis(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	for in := bufio.NewScanner(conn); in.Scan(); {
		answer := ""
		switch in.Text() {
		case "PING":
			answer = "+PONG\r\n"
		case "visits": // the last line of INCR visits
			answer = ":41\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}
