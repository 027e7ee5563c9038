package child

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// each of these ends with nothing of the child left, which is what Exited says.

func TestALeaderEndsAtTermAndItsGroupIgnoresIt(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `sh -c 'trap "" TERM; echo $$; exec sleep 1000' & wait`)
		child := a.pid(t)
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, time.Hour))
		m := await[MainExited](t, e)
		if m.Status.Signal() != syscall.SIGTERM || !alive(child) {
			t.Errorf("the leader ended with %v while its child is alive: %v", m.Status, alive(child))
		}
		setAhead(time.Hour)
		x := await[Exited](t, e)
		if alive(child) || !slices.Equal(x.Leftovers, []int{child}) || x.Order != Terminated {
			t.Errorf("the end is %+v, and the child %d is alive: %v", x, child, alive(child))
		}
	})
}

func TestWhatAnOrderlyStopLeavesIsAskedBeforeItIsKilled(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)},
			`trap "exit 0" TERM; setsid sh -c 'trap "echo asked; exit" TERM; echo $$; while :; do sleep 1000 & wait $!; done' & while :; do wait; done`)
		child := a.pid(t)
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, time.Hour))
		asked := false
		events := awaitUntil(t, e, func() bool {
			if !asked && !alive(child) {
				asked = true
				setAhead(time.Hour) // a shell's child that has not reset its parent's trap yet loses the signal
			}
			return len(e.lives) == 0
		})
		if word := a.line(t); word != "asked" || alive(child) {
			t.Errorf("the child said %q and is alive: %v; %+v", word, alive(child), events)
		}
	})
}

func TestACrashTakesDescendantsThatHideAlong(t *testing.T) {
	for name, hide := range map[string]string{
		"in the group":                   `sleep 1000 & echo $!`,
		"in a session of its own":        `setsid sleep 1000 & echo $!`,
		"forked twice":                   `(setsid sh -c 'echo $$; exec sleep 1000' &); sleep 0`,
		"without environment":            `setsid env -i sleep 1000 & echo $!`,
		"deaf, and with children of its": `setsid sh -c 'trap "" TERM INT HUP; echo $$; sleep 1000; sleep 1000' &`,
		"holding the output":             `setsid sh -c 'echo $$; exec sleep 1000' 2>&1 &`,
		"another session below another":  `setsid sh -c 'setsid env -i sh -c "echo \$\$; sleep 1000; :" & sleep 1000; :' &`,
	} {
		t.Run(name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T, e *Engine) {
				other := start(t, e, Spawn{Ref: ref("other", 1)}, `echo; exec sleep 1000`)
				other.line(t)
				a := start(t, e, Spawn{Ref: ref("a", 1)}, hide+"\n"+`read x < /dev/zero; sleep 1000`)
				child := a.pid(t)
				syscall.Kill(a.Pid, syscall.SIGKILL)
				x := await[Exited](t, e)
				if alive(child) || x.Ref != ref("a", 1) || x.Swept == 0 {
					t.Errorf("the end is %+v, and the child %d is alive: %v", x, child, alive(child))
				}
				if !alive(other.Pid) {
					t.Error("the other child died with it")
				}
			})
		})
	}
}

func TestTheDaemonOfALivingChildIsLeftAloneUntilItEnds(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `(setsid sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000`)
		daemon := a.pid(t)
		b := start(t, e, Spawn{Ref: ref("b", 1)}, `sleep 1000 & echo $!; wait`)
		left := b.pid(t)
		syscall.Kill(b.Pid, syscall.SIGKILL)
		x := await[Exited](t, e)
		if x.Ref.ID != "b" || alive(left) || !alive(daemon) || !alive(a.Pid) {
			t.Errorf("after b's end %+v: b's child %v, a's daemon %v, a %v", x, alive(left), alive(daemon), alive(a.Pid))
		}
		must(t, e.Kill(clock(), ref("a", 1)))
		x = await[Exited](t, e)
		// cgroup.kill takes the daemon with it; else it is found afterwards.
		if alive(daemon) || e.level == LevelBasic && !slices.Equal(x.Leftovers, []int{daemon}) {
			t.Errorf("after a's end %+v its daemon is alive: %v", x, alive(daemon))
		}
	})
}

// What a life left hands its work on and ends, just when the engine looks for it.
func TestWhatEndsWhileItIsLookedForHasLeftNothing(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		for i := range uint64(150) {
			a := start(t, e, Spawn{Ref: ref("a", i+1)}, `(setsid sh -c 'sleep 1000 & exit 0' &); exit 0`)
			await[Exited](t, e)
			left := 0
			must(t, e.children.each(func(int) { left++ }))
			if left > 0 {
				t.Fatalf("of life %d, pid %d, %d processes are left", i+1, a.Pid, left)
			}
		}
	})
}

func TestAKillTakesAllThatIsThere(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `trap "" TERM; setsid sleep 1000 & echo $!; sleep 1000 & echo $!; wait`)
		one, two := a.pid(t), a.pid(t)
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, time.Hour))
		must(t, e.Kill(clock(), ref("a", 1)))
		x := await[Exited](t, e)
		if x.Order != Killed || x.Status.Signal() != syscall.SIGKILL || alive(one) || alive(two) {
			t.Errorf("the end is %+v; alive: %v, %v", x, alive(one), alive(two))
		}
	})
}

func TestAStoppedChildCanBeTerminated(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		a := start(t, e, Spawn{Ref: ref("a", 1)}, `trap "exit 7" TERM; kill -STOP $$; while :; do sleep 0.01; done`)
		awaitUntil(t, e, func() bool { st, _ := readStat(a.Pid); return st.state == 'T' }) // SIGCHLD tells of it
		must(t, e.Terminate(clock(), ref("a", 1), syscall.SIGTERM, 0))
		if x := await[Exited](t, e); x.Status.ExitStatus() != 7 {
			t.Errorf("the end is %+v", x)
		}
	})
}

func TestOrphansAreReapedByTheThousand(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		const orphans = 10_000
		start(t, e, Spawn{Ref: ref("a", 1)}, `i=0; while [ $i -lt 10000 ]; do (: & ); i=$((i+1)); done; exec sleep 1000`)
		awaitUntil(t, e, func() bool { return e.Adopted() >= orphans })
	})
}
