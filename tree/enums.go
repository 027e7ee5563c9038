package tree

// The enums of a spec. Each one's text form, in TOML, JSON and messages, is
// the word of OTP's manual; String and UnmarshalText share one table.

// Strategy says who is restarted when one child dies.
type Strategy uint8

// The strategies of OTP's supervisor.
const (
	OneForOne Strategy = iota
	OneForAll
	RestForOne
	SimpleOneForOne
)

// Restart says whether a child that ended is started again.
type Restart uint8

// OTP's restart types, and Once: restarted at most once by its own ending in
// the life of its supervisor; afterwards down, its spec kept.
const (
	Permanent Restart = iota
	Transient
	Temporary
	Once
)

// AutoShutdown says whether the end of significant children ends the supervisor.
type AutoShutdown uint8

// OTP's values of auto_shutdown.
const (
	Never AutoShutdown = iota
	AnySignificant
	AllSignificant
)

// Kind tells a leaf from a supervisor.
type Kind uint8

// The kinds of children.
const (
	KindWorker Kind = iota
	KindSupervisor
)

// StopMode is how an order to stop proceeds.
type StopMode uint8

// StopTime waits Stop.Time and then kills; BrutalKill kills at once; Infinity
// waits without limit.
const (
	StopTime StopMode = iota
	BrutalKill
	Infinity
)

// Start says when a child counts as started (SEMANTICS ST-1, 19.3).
type Start uint8

// AtExec: up when exec succeeded. Acknowledged: up when it says so, and the
// supervisor waits for it everywhere, as OTP does (channel workers, nodes).
// Probed: up when its probe holds; boots and group restarts wait for it,
// a restart of one child does not.
const (
	AtExec Start = iota
	Acknowledged
	Probed
)

// Reason is the class of a process's end: SEMANTICS 17.
type Reason uint8

// The reason classes.
const (
	ReasonNormal Reason = iota
	ReasonShutdown
	ReasonKilled
	ReasonAbnormal
)
