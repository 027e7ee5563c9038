package tree

// Event is what happened: a participle for a fact, an OTP name for a request.
// The set is closed; see the types below.
type Event interface{ event() }

// Facts: what the shell saw. A fact about a life that is not the child's
// present one changes nothing (SEMANTICS M-2).
type (
	// Boot starts the children, in order. It is the first event.
	Boot struct{}

	// Started says that the process of a Spawn exists.
	Started struct{ Ref Ref }

	// Ready says that a child acknowledged its start: its probe holds, its
	// Init returned, its whole subtree runs. A child of Start AtExec is ready
	// with Started and needs no Ready.
	Ready struct{ Ref Ref }

	// Ignored says that a start answered ignore (ST-3). The process is gone.
	Ignored struct{ Ref Ref }

	// SpawnFailed says that no process could be made. Passing marks what is the
	// machine's passing fault (EMFILE, EAGAIN, ENOMEM, ETXTBSY): retried with
	// backoff at boot too; anything else at boot ends the boot.
	SpawnFailed struct {
		Ref     Ref
		Err     string
		Passing bool
	}

	// Exited says that a life has ended and nothing of it is left. Before
	// Ready it is a failed start, and Err is why, where that is known.
	Exited struct {
		Ref    Ref
		Reason Reason
		Err    string
		// Term says that the reason was OTP's {shutdown, Term}, not a plain
		// shutdown: EX-3. It is told apart in the report of a stop alone (SP-3).
		Term bool
	}

	// Stuck says that a life was killed and something of it is still there
	// after the shell's bound. Its Exited may follow, much later.
	Stuck struct{ Ref Ref }

	// Tick says that the Deadline has come.
	Tick struct{}

	// Shutdown is the order to stop; ParentGone says that nobody is left to give it.
	// Both interrupt a start in progress (SEMANTICS 19.2). ParentGone allows
	// the children 5 s together.
	Shutdown   struct{}
	ParentGone struct{}

	// Hurry is the second order to stop: what is left gets Kill, still in order.
	Hurry struct{}
)

// Requests wait in the queue like deaths do (M-1) and are answered by a Reply
// that carries their Tag. In a SimpleOneForOne supervisor a child is named by
// its whole Ref, as OTP names it by pid; elsewhere Incarnation is 0.
type (
	StartChild struct {
		Tag  uint64
		Spec ChildSpec // SimpleOneForOne: of it ID ("": the next number) and Program (0: the template's) are read
	}
	TerminateChild struct {
		Tag uint64
		Ref Ref
		// Interrupt lets the request end the start of this very child instead
		// of waiting for it, as OTP's would.
		Interrupt bool
	}
	RestartChild struct {
		Tag uint64
		Ref Ref
	}
	DeleteChild struct {
		Tag uint64
		Ref Ref
	}
	// CycleChild is the command line's restart: stop and start as one entry of
	// the queue, not counted.
	CycleChild struct {
		Tag uint64
		Ref Ref
	}
	WhichChildren struct{ Tag uint64 }
	CountChildren struct{ Tag uint64 }
	GetChildspec  struct {
		Tag uint64
		Ref Ref
	}
	// Reload is OTP's change of spec (SEMANTICS 13).
	Reload struct {
		Tag  uint64
		Spec Spec
	}
	// Suspend and Resume are sys:suspend and sys:resume (SYS-1).
	Suspend struct{ Tag uint64 }
	Resume  struct{ Tag uint64 }
)

func (Boot) event()           {}
func (Started) event()        {}
func (Ready) event()          {}
func (Ignored) event()        {}
func (SpawnFailed) event()    {}
func (Exited) event()         {}
func (Stuck) event()          {}
func (Tick) event()           {}
func (Shutdown) event()       {}
func (ParentGone) event()     {}
func (Hurry) event()          {}
func (StartChild) event()     {}
func (TerminateChild) event() {}
func (RestartChild) event()   {}
func (DeleteChild) event()    {}
func (CycleChild) event()     {}
func (WhichChildren) event()  {}
func (CountChildren) event()  {}
func (GetChildspec) event()   {}
func (Reload) event()         {}
func (Suspend) event()        {}
func (Resume) event()         {}
