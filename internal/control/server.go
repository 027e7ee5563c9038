package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of a server.
const (
	maxConns    = 128              // at once; one more takes the place of the oldest that has not finished asking
	readTimeout = 10 * time.Second // for a whole request
	sendTimeout = time.Minute      // for an answer to be taken; none for events that are followed
	acceptPause = 50 * time.Millisecond
	maxWaiting  = 1024 // orders given with no-wait that are not carried out yet
)

// A deadline that cannot be set, or an answer that cannot be written, is a
// connection that is gone: its next read says so, and the errors on the way
// are of no use to anybody.

// Server answers on a socket. Whatever a client sends, or does not send or
// read, the tree goes on.
type Server struct {
	tree     Tree
	listener *Listener
	waiting  chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	all      sync.WaitGroup

	mu     sync.Mutex
	open   int
	asking []net.Conn // whose request is not read yet, or no good, oldest first
}

// Serve starts to answer for a tree on a listener, and owns the listener.
func Serve(tree Tree, listener *Listener) *Server {
	s := &Server{tree: tree, listener: listener, waiting: make(chan struct{}, maxWaiting)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.all.Go(s.accept)
	return s
}

// Close takes the socket away and ends what is being answered, but lets
// answers that are on their way out get there for a second.
func (s *Server) Close() {
	s.listener.Close()
	s.cancel()
	done := make(chan struct{})
	go func() { s.all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.unix.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, for now
			select {
			case <-time.After(acceptPause):
			case <-s.ctx.Done():
				return
			}
		case !s.admit(conn):
			_ = conn.SetWriteDeadline(time.Now().Add(acceptPause))
			writeError(conn, &Refused{Word: WordBusy, Detail: "too many connections"})
			conn.Close()
		default:
			s.all.Go(func() { s.serve(conn) })
		}
	}
}

// admit makes room for one more connection, if need be by ending the oldest
// that has not finished asking.
func (s *Server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= maxConns {
		if len(s.asking) == 0 {
			return false
		}
		s.asking[0].Close() // its reader notices and leaves
		s.asking = slices.Delete(s.asking, 0, 1)
		s.open--
	}
	s.open++
	s.asking = append(s.asking, conn)
	return true
}

// asked notes that a request is read. False: the connection was ended
// meanwhile, and counts no more.
func (s *Server) asked(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.asking, conn)
	if i < 0 {
		return false
	}
	s.asking = slices.Delete(s.asking, i, i+1)
	return true
}

func (s *Server) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// serve answers one connection's one request.
func (s *Server) serve(conn *net.UnixConn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(readTimeout))
	if !permitted(conn) {
		if s.asked(conn) {
			writeError(conn, &Refused{Word: WordNotPermitted, Detail: "this tree belongs to another user"})
			s.left()
		}
		return
	}
	request, err := readRequest(conn, func() { _, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") })
	var bad *httpError
	switch { // still one that may have to make room: whoever errs holds up nobody
	case errors.As(err, &bad):
		writeError(conn, bad)
		drain(conn)
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = conn.SetDeadline(time.Now().Add(acceptPause))
		writeError(conn, &httpError{408, "reading the request: it did not come within " + readTimeout.String()})
	}
	if !s.asked(conn) {
		return
	}
	defer s.left()
	if err == nil {
		_ = conn.SetDeadline(time.Time{})
		s.answer(conn, request)
	}
}

// drain takes what a client is still sending, for a short while, so that the
// answer is not lost to a reset.
func drain(conn *net.UnixConn) {
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(acceptPause))
	_, _ = io.CopyN(io.Discard, conn, maxBody)
}

// permitted says whether the peer is of our user, or root.
func permitted(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return err == nil && peerErr == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid())
}
