package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// The part of HTTP/1.1 that a control socket needs: one request a connection,
// a body with its length, an answer that ends with the connection. The whole
// of net/http would cost every node of the tree a quarter of a megabyte
// (docs/decisions/http.md).

// The bounds of a request, in bytes.
const (
	maxHead = 16 << 10
	maxBody = 4 << 20
)

// httpRequest is what a client asked.
type httpRequest struct {
	method string
	path   string // decoded
	query  url.Values
	body   []byte
}

// httpError is a request that gets no further than this package.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

func badRequest(format string, args ...any) *httpError {
	return &httpError{400, fmt.Sprintf(format, args...)}
}

// statusText names the statuses that are answered.
var statusText = map[int]string{
	200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 409: "Conflict", 411: "Length Required", 413: "Content Too Large",
	431: "Request Header Fields Too Large", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}

// readRequest reads one request. An error is an *httpError, or the
// connection's own.
func readRequest(from io.Reader, cont func()) (*httpRequest, error) {
	head := &io.LimitedReader{R: from, N: maxHead}
	r := bufio.NewReader(head)
	line, err := readLine(r, head)
	if err != nil {
		return nil, err
	}
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || method == "" || strings.ContainsAny(target, " \t") {
		return nil, badRequest("reading the request line %.100q: it is not METHOD TARGET HTTP/1.1", line)
	}
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return nil, &httpError{505, fmt.Sprintf("speaking %.20q: only HTTP/1.1 is spoken here", version)}
	}
	at, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, badRequest("reading the target %.100q: %v", target, err)
	}
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		return nil, badRequest("reading the query %.100q: %v", at.RawQuery, err)
	}
	length, expects, err := readHeader(r, head)
	if err != nil {
		return nil, err
	}
	req := &httpRequest{method: method, path: at.Path, query: query, body: make([]byte, length)}
	if expects && length > 0 {
		cont()
	}
	head.N = int64(length) // what the buffer already holds comes on top
	if _, err := io.ReadFull(r, req.body); err != nil {
		return nil, err
	}
	return req, nil
}

// readHeader reads the header's lines up to the empty one.
func readHeader(r *bufio.Reader, head *io.LimitedReader) (length int, expects bool, err error) {
	for {
		line, err := readLine(r, head)
		if err != nil || line == "" {
			return length, expects, err
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return 0, false, badRequest("reading the header line %.100q: it has no colon", line)
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return 0, false, badRequest("reading the content length %.40q: it is no number", value)
			}
			if n > maxBody {
				return 0, false, &httpError{413, fmt.Sprintf("reading a body of %d bytes: %d are taken", n, maxBody)}
			}
			length = int(n)
		case "transfer-encoding":
			return 0, false, &httpError{411, "reading a body without its length: send a Content-Length"}
		case "expect":
			expects = strings.EqualFold(value, "100-continue")
		}
	}
}

// readLine reads one line of the head, without its end.
func readLine(r *bufio.Reader, head *io.LimitedReader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		if err == io.EOF && head.N <= 0 {
			return "", &httpError{431, fmt.Sprintf("reading the request's head: it is longer than %d bytes", maxHead)}
		}
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// responseHead is the head of an answer. A length under 0 means that the end
// of the connection is the end of the body.
func responseHead(status, length int, kind string) []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: close\r\n", status, statusText[status], kind)
	if length >= 0 {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", length)
	}
	return append(b, '\r', '\n')
}

// errorBody is what an answer that is no success carries.
type errorBody struct {
	Error   string `json:"error"` // OTP's word, or one of this package's
	Message string `json:"message,omitempty"`
}

// writeJSON answers with one JSON value and a newline.
func writeJSON(w io.Writer, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	body = append(body, '\n')
	_, err = w.Write(append(responseHead(status, len(body), "application/json"), body...))
	return err
}

// writeError answers with what went wrong. A client that is gone does not want
// to know.
func writeError(w io.Writer, err error) {
	status, body := errorAnswer(err)
	_ = writeJSON(w, status, body)
}

// errorAnswer puts an error into an answer.
func errorAnswer(err error) (int, errorBody) {
	var bad *httpError
	var refused *Refused
	switch {
	case errors.As(err, &bad):
		return bad.status, errorBody{WordBadRequest, bad.text}
	case errors.As(err, &refused):
		return refused.status(), errorBody{refused.Word, refused.Detail}
	}
	return 503, errorBody{"noproc", err.Error()}
}

// status is HTTP's word for a refusal.
func (r *Refused) status() int {
	switch r.Word {
	case "not_found", "noproc":
		return 404
	case WordBadRequest:
		return 400
	case WordNotPermitted:
		return 403
	case WordTimeout:
		return 504
	case WordBusy:
		return 503
	}
	return 409
}
