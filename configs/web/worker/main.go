// Command worker counts visits in redis and answers over HTTP, behind nginx:
// the program of its own in configs/web.toml.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The bounds of one request, and of the end.
const (
	redisTimeout = 2 * time.Second
	stopTimeout  = 3 * time.Second
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	counter := &redis{addr: os.Getenv("REDIS")}
	if err := serve(ctx, os.Getenv("LISTEN"), counter); err != nil {
		log.Fatal(err)
	}
}

// serve answers until ctx ends, and then finishes what it has begun.
func serve(ctx context.Context, addr string, counter *redis) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %q (LISTEN): %w", addr, err)
	}
	server := &http.Server{Handler: handler(counter), ReadHeaderTimeout: stopTimeout}
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = server.Shutdown(end) // what is not done by then is cut off by our end
	}()
	log.Printf("counting visits on %s in the redis at %s", listener.Addr(), counter.addr)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// handler answers /healthz, which asks redis too, and counts all else.
func handler(counter *redis) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := counter.command("PING"); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		n, err := counter.command("INCR", "visits")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "visit %s\n", n)
	})
	return mux
}

// redis speaks as much RESP as the two commands need, over one connection
// that is made when it is first used, and anew after an error. It is safe for
// concurrent use.
type redis struct {
	addr string

	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// command sends one command and returns its simple answer.
func (r *redis) command(args ...string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, err := r.exchange(args)
	if err != nil {
		if r.conn != nil {
			r.conn.Close()
			r.conn = nil
		}
		return "", fmt.Errorf("asking redis at %s to %s: %w", r.addr, args[0], err)
	}
	return answer, nil
}

func (r *redis) exchange(args []string) (string, error) {
	if r.conn == nil {
		conn, err := net.DialTimeout("tcp", r.addr, redisTimeout)
		if err != nil {
			return "", err
		}
		r.conn, r.in = conn, bufio.NewReader(conn)
	}
	if err := r.conn.SetDeadline(time.Now().Add(redisTimeout)); err != nil {
		return "", err
	}
	if _, err := r.conn.Write(encode(args)); err != nil {
		return "", err
	}
	line, err := r.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return decode(strings.TrimRight(line, "\r\n"))
}

// encode writes a command as an array of bulk strings.
func encode(args []string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b
}

// decode reads a simple string or an integer; PING and INCR answer nothing else.
func decode(line string) (string, error) {
	if line == "" {
		return "", errors.New("an empty answer")
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+':
		return rest, nil
	case ':':
		_, err := strconv.ParseInt(rest, 10, 64)
		return rest, err
	case '-':
		return "", errors.New(rest)
	}
	return "", fmt.Errorf("an answer of a kind that was not asked for: %q", line)
}
