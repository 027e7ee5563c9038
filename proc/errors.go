package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/supertrees/supervise/ipc"
)

// Error is the code of an error that crosses processes: a constant that
// server and caller share. errors.Is finds it through any number of wraps, on
// both sides.
type Error string

// The codes that this package and the tree make. A handler's error without a
// code of its own crosses as "error", with its text.
const (
	ErrNotSupervised     Error = "not_supervised"          // no channel: the program does not run in a tree
	ErrNoProc            Error = ipc.CodeNoProc            // nobody there
	ErrDown              Error = ipc.CodeDown              // the callee ended before it answered
	ErrTimeout           Error = "timeout"                 // no answer in time; also context.DeadlineExceeded
	ErrCanceled          Error = ipc.CodeCanceled          // the caller's context was cancelled; also context.Canceled
	ErrNoMethod          Error = ipc.CodeNoMethod          // the callee does not know the method
	ErrBadRequest        Error = ipc.CodeBadRequest        // the callee cannot read the request
	ErrBadReply          Error = "bad_reply"               // the caller cannot read the reply
	ErrBusy              Error = ipc.CodeBusy              // too much is under way; nothing was delivered
	ErrTooLarge          Error = ipc.CodeTooLarge          // over max_message
	ErrAlreadyRegistered Error = ipc.CodeAlreadyRegistered // somebody has the name
	ErrCallingSelf       Error = ipc.CodeCallingSelf       // a call, or a link, to oneself
	ErrNotPermitted      Error = ipc.CodeNotPermitted      // it changes others, and the worker has no manage = true; or there are too many names and groups
	ErrIgnore            Error = "ignore"                  // returned by Init: not started, and that is well
	ErrShutdown          Error = "shutdown"                // given to Stop: an end that is no fault
)

func (e Error) Error() string { return string(e) }

// With is e with data for the caller, who reads it with Data: a handler returns
// InsufficientBalance.With(7). It goes as JSON.
func (e Error) With(data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("%w (its data: %w)", e, err)
	}
	return &withData{e, b}
}

// Data reads the data that came with an error of this code into v. It returns
// false if err is none, or its data does not fit.
func (e Error) Data(err error, v any) bool {
	var call *CallError
	if errors.As(err, &call) && call.Code == e {
		return json.Unmarshal(call.Data, v) == nil
	}
	var own *withData
	return errors.As(err, &own) && own.code == e && json.Unmarshal(own.data, v) == nil
}

type withData struct {
	code Error
	data json.RawMessage
}

func (w *withData) Error() string        { return string(w.code) }
func (w *withData) Is(target error) bool { return target == error(w.code) }

// CallError is how a call failed.
type CallError struct {
	To, Method string
	Code       Error
	Message    string          // "": the code says it all
	Data       json.RawMessage // see Error.Data
	Down       *Down           // of ErrDown: how the callee ended
}

func (e *CallError) Error() string {
	why := e.Message
	switch {
	case e.Down != nil:
		why = "down: " + e.Down.Reason.String()
	case why == "":
		why = string(e.Code)
	}
	return fmt.Sprintf("call %s %s: %s", e.To, e.Method, why)
}

// Is says whether target is the error's code, or the error of package context
// that means the same.
func (e *CallError) Is(target error) bool {
	switch target {
	case error(e.Code):
		return true
	case context.DeadlineExceeded:
		return e.Code == ErrTimeout
	case context.Canceled:
		return e.Code == ErrCanceled
	}
	return false
}

// handled are the protocol's codes that a handler may return of itself: the
// others speak about the call that they came from, and a caller could trust
// none of them if they were passed on.
func handled(code Error) bool {
	switch code {
	case ErrNotSupervised, ErrNoProc, ErrDown, ErrTimeout, ErrCanceled, ErrNoMethod, ErrBadReply, ErrCallingSelf, ErrIgnore, ErrShutdown, "":
		return false
	}
	return true
}

// bodyOf is a handler's error as it goes to the caller.
func bodyOf(err error) *ipc.ErrorBody {
	body := &ipc.ErrorBody{Code: ipc.CodeError, Message: err.Error()}
	var call *CallError
	if errors.As(err, &call) {
		return body
	}
	var data *withData
	var code Error
	switch {
	case errors.As(err, &data):
		body.Code, body.Data = string(data.code), data.data
	case errors.As(err, &code) && handled(code):
		body.Code = string(code)
	}
	return body
}

// callError is an error that came from the wire as a caller gets it.
func callError(to, method string, payload []byte) *CallError {
	e := &CallError{To: to, Method: method, Code: ErrBadReply}
	var body ipc.ErrorBody
	if err := json.Unmarshal(payload, &body); err != nil {
		e.Message = "an error that cannot be read: " + err.Error()
		return e
	}
	e.Code, e.Message, e.Data = Error(body.Code), body.Message, body.Data
	var down ipc.Down
	if e.Code == ErrDown && json.Unmarshal(body.Data, &down) == nil {
		d := downOf(down)
		e.Down = &d
	}
	return e
}
