package node

import (
	"context"
	"testing"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/ipc"
	"github.com/supertrees/supervise/tree"
)

// greeter is a worker in sh: it reads a line, answers, and knows the protocol by
// five lines of text.
const greeter = `
say() { printf '%s\n' "$1" >&4; }
while read -r line <&3; do
	id=${line##*'"id":'}; id=${id%%,*}; id=${id%%\}*}
	case $line in
	*'"$hello"'*)
		say '{"jsonrpc":"2.0","method":"$hello","params":{"protocol":1,"client":"sh","methods":["greet"]}}'
		say '{"jsonrpc":"2.0","id":"r","method":"$register","params":{"name":"greeter"}}' ;;
	*'"id":"r"'*) say '{"jsonrpc":"2.0","method":"$ready"}' ;;
	*'"greet"'*) name=${line##*'["'}; say '{"jsonrpc":"2.0","id":'$id',"result":"hello '${name%%'"'*}'"}' ;;
	*'"fail"'*) say '{"jsonrpc":"2.0","id":'$id',"error":{"code":7,"message":"no luck","data":{"code":"unlucky"}}}' ;;
	*'"$stop"'*) exit 0 ;;
	esac
done
`

// inSh makes a worker a script that speaks in lines.
func inSh(script string) func(*tree.ChildSpec, *child.Process) {
	return func(_ *tree.ChildSpec, p *child.Process) {
		p.Command, p.Env, p.Channel = []string{"sh", "-c", script}, nil, "lines"
	}
}

func TestAWorkerInShAnswersCalls(t *testing.T) {
	tt := plant(t, worker(worker(supervisor("/"), "sh", "", inSh(greeter)), "a", "puppet"))
	for _, to := range []string{"/sh", "greeter"} {
		if got := must[string](tt, "/a", "one", order{To: to, Method: "greet", Payload: "Joe"}); got != "hello Joe" {
			t.Errorf("to %s: %q", to, got)
		}
	}
	if _, err := ask[string](tt, "greeter", "fail", nil); code(err) != "unlucky" {
		t.Errorf("an error of the script: %v", err)
	}
	raw := ipc.Message{To: "greeter", Method: "greet", Codec: ipc.CodecRaw, Payload: []byte{0xff}}
	if _, err := tt.board.Call(context.Background(), raw); code(err) != ipc.CodeBadRequest {
		t.Errorf("bytes to one that speaks in lines: %v", err)
	}
	tt.kill("/sh")
	tt.awaitLife("/sh", 2)
	if got := must[string](tt, "greeter", "greet", "Mike"); got != "hello Mike" {
		t.Errorf("its next life: %q", got)
	}
}

func TestAScriptThatWritesNoMessageIsStopped(t *testing.T) {
	tt := sow(t, worker(worker(supervisor("/"), "a", "puppet"), "sh", "", temporary, inSh("echo hello >&4; sleep 1000")))
	r := tt.awaitRecord("the end of sh", func(r *journal.Record) bool { return r.Event == journal.Exit && r.Path == "/sh" })
	if r.Reason != "abnormal" || r.Message != "protocol: a line is no JSON object" {
		t.Errorf("it ended %s, %q", r.Reason, r.Message)
	}
}
