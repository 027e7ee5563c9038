package node

import (
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/supertrees/supervise/internal/child"
	"github.com/supertrees/supervise/internal/journal"
	"github.com/supertrees/supervise/internal/output"
	"github.com/supertrees/supervise/tree"
)

// Root is the upstream of the topmost node: the journal that status and events
// are made of, the program's log, and the terminal that children's lines go to.
type Root struct {
	store    *journal.Store
	log      *narrator
	terminal *output.Writer
	oom      *child.OOMKills
	failure  string // why the boot failed
}

// NewRoot makes the root's upstream.
func NewRoot(store *journal.Store, log hclog.Logger, terminal *output.Writer) *Root {
	return &Root{store: store, log: newNarrator(log), terminal: terminal, oom: child.WatchOOM()}
}

// Record puts a record into the journal and the log. It finds out here whether the
// kernel sent a KILL that nobody ordered, because the kernel counts for the whole tree.
func (r *Root) Record(rec journal.Record) {
	if rec.Cause == journal.Unexplained {
		rec.Cause = ""
		if r.oom.Another() {
			rec.Cause = journal.OOM
		}
	}
	r.store.Append(rec)
	r.log.tell(&rec)
}

// Flush has nothing to do: the journal has every record at once.
func (r *Root) Flush() {}

// Output prints what a child printed.
func (r *Root) Output(b output.Batch) { r.terminal.Output(b) }

// Ready says that the whole tree runs.
func (r *Root) Ready() { r.Record(r.self(journal.Start)) }

// Stopping says that the whole tree is being stopped.
func (r *Root) Stopping() { r.Record(r.self(journal.Stopping)) }

// Failed keeps why the boot failed.
func (r *Root) Failed(reason string) { r.failure = reason }

// Introduce tells of the root itself, before anything is started.
func (r *Root) Introduce(add journal.Record) {
	add.Event, add.Path, add.Kind, add.Time = journal.Add, "/", tree.KindSupervisor.String(), wallTime()
	r.Record(add)
	r.Record(r.self(journal.Spawn))
}

// Conclude tells how the root ended, and with which status its process is to
// exit. significant is the status of the child that q names: Node.Status.
func (r *Root) Conclude(q tree.Quit, significant int) (status int) {
	status, why := r.verdict(q, significant)
	end := r.self(journal.Exit)
	end.Reason, end.Status, end.Message = q.Reason.String(), &status, why
	r.Record(end)
	return status
}

// verdict is the exit status of the contract, and the sentence that goes with it.
func (r *Root) verdict(q tree.Quit, significant int) (int, string) {
	switch {
	case len(q.Stuck) > 0:
		return 1, fmt.Sprintf("some processes could not be killed: %v", q.Stuck)
	case q.Cause == tree.CauseStartFailed:
		return 1, "the tree could not be started: " + innermost(r.failure)
	case q.Cause == tree.CauseIntensity:
		return 1, fmt.Sprintf("restarting %s would have been one restart too many", q.Child.ID)
	case q.Cause == tree.CauseAutoShutdown:
		return significant, fmt.Sprintf("its significant child %s ended", q.Child.ID)
	case q.Cause == tree.CauseParentGone:
		return 1, "the process above it is gone"
	}
	return 0, "as ordered"
}

// innermost puts a path for OTP's words of a nested start error, which are
// failed_to_start_child:ID: once for each supervisor that it came through.
func innermost(failure string) string {
	path := ""
	for {
		rest, nested := strings.CutPrefix(failure, "failed_to_start_child:")
		if !nested {
			break
		}
		id, cause, _ := strings.Cut(rest, ":")
		path, failure = path+"/"+id, cause
	}
	if path == "" || strings.Contains(failure, path) {
		return failure
	}
	return path + ": " + failure
}

// self is a record about the root's own process.
func (r *Root) self(event string) journal.Record {
	return journal.Record{
		Event: event, Path: "/", Kind: tree.KindSupervisor.String(),
		Pid: os.Getpid(), Incarnation: 1, Time: wallTime(),
	}
}
