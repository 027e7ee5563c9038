package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The workers of the tree of clients; "-lines" is one in line mode, as is "sh".
var clients = []string{"go", "python", "python-lines", "node", "node-lines", "sh"}

// needs skips a test whose interpreters are not there; where .ci/needs has been
// run that is a failure.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed: run .ci/needs", program)
			}
			t.Skipf("NOT RUN: %s is not installed: run .ci/needs", program)
		}
	}
}

func runClients(t *testing.T) *tree {
	t.Helper()
	needs(t, "python3", "node")
	here, err := filepath.Abs("clients")
	if err != nil {
		t.Fatal(err)
	}
	return run(t, "clients", `"./goworker/`, `"`+os.Getenv(binVariable)+"/", `"./`, `"`+here+"/")
}

func TestClientsReadAndWriteEveryVector(t *testing.T) {
	needs(t, "python3", "node")
	for _, program := range []string{"clients/python/vectors.py", "clients/node/vectors.js"} {
		out, err := exec.Command(program, "../ipc/testdata/vectors.txt").CombinedOutput()
		if err != nil || !strings.Contains(string(out), " 0 wrong") {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
}

func TestClientsAnswerTheShell(t *testing.T) {
	tr := runClients(t)
	for _, c := range clients {
		for _, value := range []string{`null`, `7`, `"Joe"`, `[]`, `[1]`, `[[1,2]]`, `{"x":[1,"é"]}`} {
			tr.want(value, "call", c, "echo", value)
		}
		tr.want("5", "call", c, "add", "5")
		tr.want("", "cast", c, "add", "30")
		tr.want("42", "call", "/"+c, "add", "7")
		tr.want("42", "call", tr.field(c, 2), "total")
		tr.fails("1", "not_a_number", "call", c, "add", `"x"`)
		tr.fails("1", "no_method", "call", c, "nonsense")
		tr.want("null", "call", c, "$ping")
		tr.fails("1", "no_method", "call", c, "$nonsense")
		tr.want("", "cast", c, "$nonsense")
	}
}

func TestClientsCallAndCastToEachOther(t *testing.T) {
	tr := runClients(t)
	ask := func(from, to, method, value string) []string {
		return []string{"call", from, "ask", fmt.Sprintf(`{"to":%q,"method":%q,"value":%s}`, to, method, value)}
	}
	for _, from := range clients {
		for _, to := range clients {
			if from == to {
				continue
			}
			tr.want(`{"from":["`+from+`"]}`, ask(from, to, "echo", `{"from":["`+from+`"]}`)...)
			tr.fails("1", "not_a_number", ask(from, to, "add", `"x"`)...)
			tr.want("", "cast", from, "tell", fmt.Sprintf(`{"to":%q,"method":"add","value":1}`, to))
		}
		tr.fails("1", "noproc", ask(from, "nobody", "echo", "1")...)
		tr.fails("1", "calling_self", ask(from, from, "echo", "1")...)
	}
	for _, c := range clients {
		tr.until(is(fmt.Sprint(len(clients)-1)), "call", c, "total")
	}
}

func TestClientsCarryLongMessagesInPieces(t *testing.T) {
	tr := runClients(t)
	long := `"` + strings.Repeat("x", 100_000) + `"`
	for i, from := range clients {
		to := clients[(i+1)%len(clients)]
		tr.want(long, "call", from, "ask", fmt.Sprintf(`{"to":%q,"method":"echo","value":%s}`, to, long))
	}
}

func TestClientsDieWell(t *testing.T) {
	tr := runClients(t)
	for i, c := range clients {
		witness := clients[(i+1)%len(clients)]
		tr.want(`"bye"`, "call", c, "quit")
		tr.until(func(string) bool { return tr.field(c, 3) == "#2" }, "names")
		tr.fails("1", "down", "call", witness, "ask", fmt.Sprintf(`{"to":%q,"method":"crash","value":"boom"}`, c))
		tr.until(func(string) bool { return tr.field(c, 3) == "#3" }, "names")
		tr.done("stop", "/"+c)
		if why := tr.do("why", "/"+c); !strings.Contains(why, "stopped") && !strings.Contains(why, "shutdown") {
			t.Errorf("%s was stopped, and that is why it is down: %s", c, why)
		}
		tr.done("start", "/"+c)
		tr.until(is("0"), "call", c, "total")
	}
}

func TestWorkersConform(t *testing.T) {
	needs(t, "python3", "node")
	bin := os.Getenv(binVariable)
	for _, w := range []struct {
		channel, echo string
		command       []string
	}{
		{"frames", "", []string{bin + "/names"}},
		{"frames", "echo", []string{bin + "/goworker", "me"}},
		{"frames", "echo", []string{"clients/python/worker.py", "me"}},
		{"lines", "echo", []string{"clients/python/worker.py", "me"}},
		{"frames", "echo", []string{"clients/node/worker.js", "me"}},
		{"lines", "echo", []string{"clients/node/worker.js", "me"}},
		{"lines", "echo", []string{"clients/sh/worker.sh", "me"}},
		{"lines", "", []string{"counter/counter.sh"}},
	} {
		args := append([]string{"conformance", "-timeout", "2m", "-channel", w.channel, "-echo", w.echo, "--"}, w.command...)
		out, err := exec.Command(bin+"/supervise", args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ok    end of the pipe\n") {
			t.Errorf("%s in %s: %v\n%s", w.command[0], w.channel, err, out)
		}
	}
}
