package ipc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Line mode is the same protocol, one to one, as lines of JSON-RPC 2.0: a call
// is a request, a cast a notification, a reply a result, an error an error, and
// a cancel the notification $cancel {"id"}. This file translates one message;
// Lines keeps what a link needs between messages.

// lineMessage is a line.
type lineMessage struct {
	Version     string          `json:"jsonrpc,omitempty"`
	ID          json.RawMessage `json:"id,omitempty"`
	Method      string          `json:"method,omitempty"`
	To          string          `json:"to,omitempty"`
	From        string          `json:"from,omitempty"`
	About       bool            `json:"about,omitempty"`
	Timeout     float64         `json:"timeout,omitempty"` // seconds
	Traceparent string          `json:"traceparent,omitempty"`
	Params      json.RawMessage `json:"params,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	Error       *lineError      `json:"error,omitempty"`
}

type lineError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// lineData is the data of an error: the word, and the error's own data.
type lineData struct {
	Code string          `json:"code"`
	Data json.RawMessage `json:"data,omitempty"`
}

// errorNumbers are JSON-RPC's numbers of the protocol's own codes; every other
// code is 1.
var errorNumbers = map[string]int{
	CodeNoMethod: -32601, CodeBadRequest: -32602, CodeNoProc: -32001, CodeDown: -32002, CodeBusy: -32003,
	CodeTooLarge: -32004, CodeAlreadyRegistered: -32005, CodeCallingSelf: -32006, CodeNotPermitted: -32007,
	CodeCanceled: -32800,
}

const errorNumberOther = 1

// errNotLine is why a message cannot be a line: its payload is no JSON.
var errNotLine = fmt.Errorf("writing a line: the payload is not JSON")

// AppendLine writes m as a line, with its newline, to the end of b. It fails
// if the payload is not JSON.
func (m *Message) AppendLine(b []byte) ([]byte, error) {
	id, err := json.Marshal(m.ID)
	if err != nil {
		return b, err
	}
	return m.appendLine(b, id)
}

func (m *Message) appendLine(b []byte, id json.RawMessage) ([]byte, error) {
	payload, err := linePayload(m)
	if err != nil {
		return b, err
	}
	line := lineMessage{Version: "2.0", From: m.Src.String()}
	switch m.Type {
	case Call, Cast:
		line.Method, line.To, line.About = m.Method, m.To, m.About
		if line.To == "" {
			line.To = m.Dst.String()
		}
		if m.Type == Call {
			line.ID = id
		}
		line.Timeout, line.Traceparent = m.Left.Seconds(), traceText(m.Traceparent)
		switch {
		case payload == nil:
		case payload[0] == '{':
			line.Params = payload
		default:
			line.Params = append(append([]byte{'['}, payload...), ']')
		}
	case Reply:
		line.ID, line.Result = id, payload
		if payload == nil {
			line.Result = json.RawMessage("null")
		}
	case Error:
		line.ID = id
		if line.Error, err = errorLine(payload); err != nil {
			return b, err
		}
	case Cancel:
		line.Method, line.Params = "$cancel", append(append([]byte(`{"id":`), id...), '}')
	}
	out, err := json.Marshal(&line)
	if err != nil {
		return b, errNotLine
	}
	return append(append(b, out...), '\n'), nil
}

// linePayload is m's payload as it can stand in a line; nil is none.
func linePayload(m *Message) (json.RawMessage, error) {
	if len(m.Payload) == 0 {
		return nil, nil
	}
	if m.Codec != CodecJSON {
		return nil, errNotLine
	}
	var compact bytes.Buffer
	if json.Compact(&compact, m.Payload) != nil {
		return nil, errNotLine
	}
	return compact.Bytes(), nil
}

func errorLine(payload []byte) (*lineError, error) {
	var body ErrorBody
	if json.Unmarshal(payload, &body) != nil {
		return nil, errNotLine
	}
	number, ok := errorNumbers[body.Code]
	if !ok {
		number = errorNumberOther
	}
	data, err := json.Marshal(lineData{Code: body.Code, Data: body.Data})
	if err != nil {
		return nil, errNotLine
	}
	return &lineError{Code: number, Message: body.Message, Data: data}, nil
}

// ParseLine reads a line, without its newline, whose id is a whole number.
func ParseLine(line []byte) (Message, error) {
	m, id, err := parseLine(line)
	if err != nil || id == nil {
		return m, err
	}
	m.ID, err = strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		return m, malformed(line, "the id %.40s is no whole number", id)
	}
	return m, nil
}

// parseLine reads a line apart from its id, which it returns as it stands; of
// a cancel it is the id of the call.
func parseLine(line []byte) (m Message, id json.RawMessage, err error) {
	var l lineMessage
	trimmed := bytes.TrimSpace(line)
	switch {
	case !utf8.Valid(line):
		return m, nil, malformed(line, "a line is not UTF-8")
	case len(trimmed) == 0 || trimmed[0] != '{':
		return m, nil, malformed(line, "a line is no JSON object")
	}
	if err := json.Unmarshal(trimmed, &l); err != nil {
		return m, nil, malformed(line, "a line is no message: %v", err)
	}
	if string(l.ID) != "null" {
		id = l.ID
	}
	if m.Src, err = lineAddr(l.From); err != nil {
		return m, nil, malformed(line, "%v", err)
	}
	switch {
	case l.Method == "$cancel" && id == nil:
		var c struct {
			ID json.RawMessage `json:"id"`
		}
		if json.Unmarshal(l.Params, &c) != nil || c.ID == nil {
			return m, nil, malformed(line, "a $cancel without an id")
		}
		m.Type = Cancel
		return m, c.ID, nil
	case l.Method != "":
		err = l.request(&m, id)
	case id == nil:
		err = fmt.Errorf("a line has no method and no id")
	case l.Error != nil:
		m.Type, m.Codec, m.Payload = Error, CodecJSON, l.Error.payload()
	default:
		m.Type = Reply
		m.setPayload(l.Result)
	}
	if err != nil {
		return m, nil, malformed(line, "%v", err)
	}
	return m, id, nil
}

func (l *lineMessage) request(m *Message, id json.RawMessage) (err error) {
	m.Type = Cast
	if id != nil {
		m.Type = Call
	}
	if len(l.Method) > MaxMethod {
		return fmt.Errorf("a method of %d bytes", len(l.Method))
	}
	m.Method, m.About = l.Method, l.About
	if strings.HasPrefix(l.To, "@") {
		m.Dst, err = lineAddr(l.To)
	} else {
		m.To = l.To
	}
	if err == nil && l.Timeout > 0 {
		m.Left = max(time.Duration(seconds(l.Timeout)), time.Microsecond)
	}
	if err == nil && l.Traceparent != "" {
		m.Traceparent, err = traceBytes(l.Traceparent)
	}
	params := bytes.TrimSpace(l.Params)
	if len(params) > 0 && params[0] == '[' {
		var one []json.RawMessage
		if json.Unmarshal(params, &one) == nil && len(one) == 1 {
			params = one[0]
		}
	}
	m.setPayload(params)
	return err
}

func (m *Message) setPayload(b json.RawMessage) {
	if len(b) > 0 && string(b) != "null" {
		m.Codec, m.Payload = CodecJSON, b
	}
}

// payload is an error of a line as it stands in a frame. The word is that of
// data.code; else that of the number.
func (e *lineError) payload() []byte {
	body := ErrorBody{Code: CodeError, Message: e.Message}
	var d lineData
	switch {
	case json.Unmarshal(e.Data, &d) == nil && d.Code != "":
		body.Code, body.Data = d.Code, d.Data
	default:
		for word, number := range errorNumbers {
			if number == e.Code {
				body.Code = word
			}
		}
		body.Data = e.Data
	}
	return encode(body)
}

func lineAddr(text string) (a Addr, err error) {
	err = a.UnmarshalText([]byte(text))
	return a, err
}

// traceText is W3C's form of a traceparent; "" of none.
func traceText(b []byte) string {
	if len(b) != sizeTrace {
		return ""
	}
	return fmt.Sprintf("00-%x-%x-%x", b[:16], b[16:24], b[24:])
}

func traceBytes(text string) ([]byte, error) {
	parts := strings.Split(text, "-")
	if len(parts) >= 4 {
		if b, err := hex.DecodeString(parts[1] + parts[2] + parts[3]); err == nil && len(b) == sizeTrace && len(parts[1]) == 32 && len(parts[2]) == 16 {
			return b, nil
		}
	}
	return nil, fmt.Errorf("the traceparent %.80q is not of the form 00-TRACE-SPAN-FLAGS", text)
}
