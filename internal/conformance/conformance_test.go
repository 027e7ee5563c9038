package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// The workers of these tests are sh and this test itself. FAULT says what one
// of them does wrong.
const (
	faultVariable  = "CONFORMANCE_TEST_FAULT"
	workerVariable = "CONFORMANCE_TEST_WORKER"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		os.Exit(worker(os.Getenv(faultVariable)))
	}
	os.Exit(m.Run())
}

const inSh = `
R=${SUPERVISE_CHANNEL%,*} W=${SUPERVISE_CHANNEL#*,}
say() { printf '%s\n' "$1" >&"$W"; }
is() { [ "$CONFORMANCE_TEST_FAULT" = "$1" ]; }
read -r line <&"$R"
case $line in *'"protocol":[1]'*) ;; *) is "any version" || { say '{"method":"$hello","params":{"protocol":0}}'; exit 1; } ;; esac
is "ready first" && say '{"method":"$ready"}'
say '{"method":"$hello","params":{"protocol":1}}'
say '{"id":"x","method":"$register","params":{"name":"me"}}'
is "fails" && say '{"method":"$failed","params":{"reason":"no database"}}'
say '{"method":"$ready"}'
while read -r line <&"$R"; do
	head=${line%%'"params":'*}
	is "cancel is a call" && head=$line
	case $head in
	*'"method":"$stop"'*) is "bad status" && exit 3; exit 0 ;;
	*'"method":'*'"id":'* | *'"id":'*'"method":'*)
		id=${head#*'"id":'} id=${id%%[!0-9]*}
		code=-32601
		is "wrong word" && code=1
		say '{"id":'"$id"',"error":{"code":'"$code"',"message":"no"}}'
		is "answers twice" && say '{"id":'"$id"',"error":{"code":-32601,"message":"no"}}'
		is "no JSON" && say 'I have answered'
		;;
	esac
done
is "outlives the pipe" && exec sleep 1000
exit 0
`

// worker speaks in frames.
func worker(fault string) int {
	var r, w int
	if _, err := fmt.Sscanf(os.Getenv("SUPERVISE_CHANNEL"), "%d,%d", &r, &w); err != nil {
		return 2
	}
	conn := ipc.NewConn(os.NewFile(uintptr(r), "r"), os.NewFile(uintptr(w), "w"), 0)
	if _, err := conn.Receive(); err != nil {
		return 2
	}
	say := func(m ipc.Message) { _ = conn.Send(m) }
	say(ipc.Message{Type: ipc.Cast, Method: ipc.VerbHello, Codec: ipc.CodecJSON, Payload: []byte(`{"protocol":1}`)})
	say(ipc.Message{Type: ipc.Cast, Method: ipc.VerbReady})
	answers := make(chan ipc.Message, 4*window)
	go func() {
		for m := range answers {
			say(m)
		}
	}()
	for {
		m, err := conn.Receive()
		var bad *ipc.Malformed
		switch {
		case errors.As(err, &bad) && fault != "malformed is well":
			fmt.Fprintln(os.Stderr, err)
			return 1
		case err != nil || m.Method == ipc.VerbStop:
			return 0
		case m.Type != ipc.Call:
			continue
		}
		code := ipc.CodeNoMethod
		if m.Refused != "" && fault != "refuses nothing" {
			code = m.Refused
		}
		answer := ipc.Message{Type: ipc.Error, ID: m.ID, Codec: ipc.CodecJSON, Payload: []byte(`{"code":"` + code + `","message":"no"}`)}
		if fault == "writes before it reads on" {
			say(answer)
		} else {
			answers <- answer
		}
	}
}

// errSeen ends a run when the check that a test is about has been made.
var errSeen = errors.New("seen")

// failing are the checks that fail, with their reasons, up to the last one; ""
// makes all.
func failing(t *testing.T, o Options, fault, last string) (names []string, why string) {
	t.Helper()
	t.Setenv(faultVariable, fault)
	t.Setenv(workerVariable, "1")
	all, err := Run(t.Context(), o, func(r Result) error {
		if !r.OK {
			names = append(names, r.Check)
			why += r.Check + ": " + r.Why + "\n"
		}
		if r.Check == last {
			return errSeen
		}
		return nil
	})
	if last == "" && (err != nil || all != (len(names) == 0)) {
		t.Errorf("%s: %v, %v, but %q fail", fault, all, err, names)
	}
	return names, why
}

// brief is for workers that do not do what is waited for.
const (
	patience = time.Minute
	brief    = 3 * time.Second
)

func TestALineWorkerThatConforms(t *testing.T) {
	o := Options{Command: []string{"sh", "-c", inSh}, Lines: true, Patience: patience}
	if names, why := failing(t, o, "", ""); len(names) > 0 {
		t.Error(why)
	}
}

func TestTheFaultsOfALineWorkerAreSeen(t *testing.T) {
	for fault, want := range map[string][2]string{
		"any version":       {"no version in common", "protocol 1"},
		"ready first":       {"hello", "its first message is $ready"},
		"fails":             {"hello", "no database"},
		"cancel is a call":  {"cancel", "a second answer"},
		"bad status":        {"stop", "exit status 3"},
		"wrong word":        {"unknown method", "error"},
		"answers twice":     {"call", "a second answer"},
		"no JSON":           {"call", "no JSON object"},
		"outlives the pipe": {"end of the pipe", "took longer"},
	} {
		t.Run(fault, func(t *testing.T) {
			o := Options{Command: []string{"sh", "-c", inSh}, Lines: true, Patience: patience}
			if fault == "outlives the pipe" {
				o.Patience = brief
			}
			names, why := failing(t, o, fault, want[0])
			if !slices.Contains(names, want[0]) || !strings.Contains(why, want[1]) {
				t.Errorf("want %q because of %q, got\n%s", want[0], want[1], why)
			}
		})
	}
}

func TestTheFaultsOfAFrameWorkerAreSeen(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for fault, want := range map[string]string{
		"malformed is well":         "malformed",
		"refuses nothing":           "too large",
		"writes before it reads on": "reads while nobody reads it",
	} {
		t.Run(fault, func(t *testing.T) {
			o := Options{Command: []string{self}, Patience: patience}
			if fault == "writes before it reads on" {
				o.Patience = brief
			}
			if names, why := failing(t, o, fault, want); !slices.Contains(names, want) {
				t.Errorf("want %q, got\n%s", want, why)
			}
		})
	}
}

func TestAWorkerThatCannotBeStartedIsAnError(t *testing.T) {
	_, err := Run(t.Context(), Options{Command: []string{"/nonexistent"}, Patience: patience}, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		io.ReadFull(r, make([]byte, 1)) // it runs
		cancel()
	}()
	_, err = Run(ctx, Options{Command: []string{"sh", "-c", fmt.Sprintf("echo >/proc/%d/fd/%d; exec sleep 1000", os.Getpid(), w.Fd())}, Patience: patience}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
