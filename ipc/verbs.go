package ipc

import (
	"encoding/json"
	"time"
)

// Version is the newest protocol that this package speaks.
const Version = 1

// Methods that begin with $ belong to the protocol. Between a worker and its
// node:
const (
	// VerbHello is each side's first frame, a cast: Hello down, Welcome up.
	VerbHello = "$hello"
	// VerbReady, VerbIgnore and VerbFailed (Failed) say how Init ended.
	VerbReady  = "$ready"
	VerbIgnore = "$ignore"
	VerbFailed = "$failed"
	// VerbStop (Stop) goes down together with the stop signal.
	VerbStop = "$stop"
	// VerbExiting (Exiting) goes up before a deliberate end.
	VerbExiting = "$exiting"
	// VerbStatus (Status) is a line for people, VerbFlow (Flow) asks a sender to
	// hold back, VerbExit (Down) tells a trapping worker of a link's end.
	VerbStatus = "$status"
	VerbFlow   = "$flow"
	VerbExit   = "$exit"
	// VerbPing (Ping) is answered by the reader or by the mailbox.
	VerbPing       = "$ping"
	VerbMethods    = "$methods"
	VerbStatistics = "$sys.statistics"
	VerbSuspend    = "$sys.suspend"
	VerbResume     = "$sys.resume"
	VerbGetState   = "$sys.get_state"
	VerbReplace    = "$sys.replace_state"
	VerbTrace      = "$sys.trace"
	VerbLog        = "$sys.log"
	VerbTerminate  = "$sys.terminate"
	VerbMolt       = "$molt" // answered; from then on everything for the worker is kept
	VerbMolted     = "$molted"
)

// To the root, which holds the tables of names and groups.
const (
	VerbRegister   = "$register"   // Name
	VerbUnregister = "$unregister" // Name
	VerbRegistered = "$registered" // answered with []string, sorted
	VerbJoin       = "$join"       // Name
	VerbLeave      = "$leave"      // Name
	VerbMembers    = "$members"    // Name; answered with []Addr
	VerbNode       = "$node"       // a new node asks for its number: NodeNumber
	VerbGone       = "$gone"       // Gone: a life has ended
)

// With About, to the supervisor of the target:
const (
	VerbWhereIs = "$whereis" // answered with Place
	VerbMonitor = "$monitor" // answered with Down when the target has ended
	VerbLink    = "$link"    // LinkMode
	VerbUnlink  = "$unlink"
	VerbTrap    = "$trap" // Trap: whether faults of links come as $exit instead of ending the worker
)

// Between a supervisor's process and its parent, beside the above:
const (
	VerbEvent  = "$event"  // one journal record goes up
	VerbOutput = "$output" // a line that a child printed goes up
)

// Hello is the first that a worker reads on its channel.
type Hello struct {
	Protocol    []int    `json:"protocol"` // versions that the node speaks
	Path        string   `json:"path"`
	Addr        Addr     `json:"addr"`
	Incarnation uint64   `json:"incarnation"`
	Window      int      `json:"window"`      // calls that may be open at a time in each direction
	MaxMessage  int      `json:"max_message"` // bytes
	SlowHandler Duration `json:"slow_handler,omitempty"`
	Shutdown    Duration `json:"shutdown,omitempty"` // the time to end in after an order; 0: no limit
	Features    []string `json:"features,omitempty"`
}

// Welcome is a worker's answer to Hello.
type Welcome struct {
	Protocol int      `json:"protocol"` // 0: none of the node's versions is known, and the worker ends
	Client   string   `json:"client,omitempty"`
	Pid      int      `json:"pid,omitempty"`
	Window   int      `json:"window,omitempty"`
	Codecs   []string `json:"codecs,omitempty"`
	Features []string `json:"features,omitempty"`
	Methods  []string `json:"methods,omitempty"` // for completion and "did you mean"
}

// Duration is a time in seconds in JSON: 0.25 is a quarter of one.
type Duration time.Duration

// MarshalJSON writes seconds.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).Seconds())
}

// UnmarshalJSON reads seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s float64
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*d = seconds(s)
	return nil
}

// seconds is s as a duration, held within what a duration can be.
func seconds(s float64) Duration {
	const most = float64(1<<63 - 1)
	return Duration(max(min(s*float64(time.Second), most-1024), 0))
}

// Failed says why Init did not succeed.
type Failed struct {
	Reason string `json:"reason"`
	Stack  string `json:"stack,omitempty"`
}

// Stop orders a worker to end.
type Stop struct {
	Reason  string `json:"reason,omitempty"`
	GraceMS int64  `json:"grace_ms,omitempty"` // 0: no limit
}

// Exiting says why a worker is about to end. The wait status has the last word.
type Exiting struct {
	Reason string `json:"reason"` // normal, shutdown, abnormal
	Detail string `json:"detail,omitempty"`
	Stack  string `json:"stack,omitempty"`
}

// Status is a line about what a worker is doing.
type Status struct {
	Text string `json:"text"`
}

// Flow says that the queue to a target has grown over its mark, or is below
// it again.
type Flow struct {
	To   string `json:"to"` // as the sender wrote it
	Busy bool   `json:"busy"`
}

// Ping is the payload of $ping.
type Ping struct {
	Mailbox bool `json:"mailbox,omitempty"` // the mailbox answers, so that a hung handler shows
}

// Name is the payload of the verbs about names and groups.
type Name struct {
	Name string `json:"name"`
}

// NodeNumber answers $node.
type NodeNumber struct {
	Node uint32 `json:"node"`
}

// Gone says that a life, or with serial 0 a whole node, has ended.
type Gone struct {
	Addr Addr `json:"addr"`
}

// Place answers $whereis.
type Place struct {
	Addr        Addr   `json:"addr"`
	Path        string `json:"path"`
	Incarnation uint64 `json:"incarnation"`
}

// LinkMode asks for a link to the target.
type LinkMode struct {
	Mode string `json:"mode"`
}

// The modes of a link: the other's fault ends me, mine ends it, or both.
const (
	ModeMonitor = "monitor"
	ModeNotify  = "notify"
	ModePeer    = "peer"
)

// Watch is the payload of $monitor; none is its zero value.
type Watch struct {
	// Was asks for the true reason of a life that has ended just before, instead
	// of noproc. Nodes use it for links.
	Was bool `json:"was,omitempty"`
}

// Trap turns trapping of links' faults on or off.
type Trap struct {
	On bool `json:"on"`
}

// Down says how a life ended. Reason is one of normal, shutdown, killed,
// abnormal and noproc.
type Down struct {
	Addr        Addr   `json:"addr,omitzero"`
	Path        string `json:"path,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Reason      string `json:"reason"`
	Detail      string `json:"detail,omitempty"`
}

// ErrorBody is the payload of an Error frame, always JSON.
type ErrorBody struct {
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"` // of down: a Down
}

// The codes of errors that the protocol itself makes.
const (
	CodeNoProc            = "noproc"
	CodeDown              = "down"
	CodeNoMethod          = "no_method"
	CodeBadRequest        = "bad_request"
	CodeBusy              = "busy"
	CodeTooLarge          = "too_large"
	CodeAlreadyRegistered = "already_registered"
	CodeCallingSelf       = "calling_self"
	CodeNotPermitted      = "not_permitted"
	CodeCanceled          = "canceled"
	CodeError             = "error" // an error of a handler that has no code of its own
)
