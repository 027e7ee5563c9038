package main

import "testing"

func TestCallPrintsTheReplyAndExitsAsTheErrorSays(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "{\"a\":[1,2]}\n", "", "call", "bank", "echo", "{\"a\": [1, 2]}")
	says(t, env, 0, "null", "", "call", "bank", "echo", "null")
	says(t, env, 1, "", "supervise: call bank withdraw: insufficient_balance: 7", "call", "bank", "withdraw", "9")
	says(t, env, 69, "", "noproc", "call", "nowhere", "nobody")
	says(t, env, 124, "", "timeout", "call", "bank", "never", "-timeout", "10ms")
	says(t, env, 64, "", `'"Joe"'`, "call", "bank", "echo", "Joe")
	says(t, env, 64, "", "takes TO", "call", "bank")
}

func TestCastAndNames(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "", "", "cast", "group:rooms", "say", `"hello"`)
	says(t, env, 64, "", "takes TO", "cast", "bank")
	says(t, env, 0, "bank\t/web\t@1.1\t#1\n", "", "names")
	says(t, env, 0, `[{"name":"bank","path":"/web","addr":"@1.1","incarnation":1}]`, "", "names", "-json")
}

func TestStatusOfAWorkerShowsItsChannel(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "3 wait for its answer, 0 calls of its own open, 2 in its mailbox, 1000 handled in 128µs (p50), 2ms (p99), 4 too late for their callers (expired); registered as bank", "", "status", "/db")
}

func TestCompletionKnowsWhomToCallAndWhat(t *testing.T) {
	_, env := shop(t)
	says(t, env, 0, "bank\n/\n/db\n", "", "__complete", "call", "")
	says(t, env, 0, "withdraw\n", "", "__complete", "call", "bank", "w")
}
