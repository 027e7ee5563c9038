package journal

import (
	"fmt"
	"strings"
	"time"
)

// Why explains in one paragraph why the node at a path is in the state it is
// in: what it does, how its last process ended, which rule applies, how far
// its supervisor is from giving up, and what comes next. False: no such path.
func (s *Store) Why(at string, now time.Time) (text string, known bool) {
	s.View(func(f *Fold) { text, known = f.why(at, now) })
	return text, known
}

func (f *Fold) why(at string, now time.Time) (string, bool) {
	e := f.nodes[at]
	if e == nil {
		return "", false
	}
	said := []string{e.whyState(now)}
	if e.exit.at != 0 {
		said = append(said, e.whyExit(now))
	}
	if x := e.extra; x != nil && x.failed != "" {
		said = append(said, "Its last start failed: "+x.failed+".")
	}
	if x := e.extra; x != nil && !x.gaveUp.IsZero() {
		said = append(said, fmt.Sprintf("It gave up %s ago: restarting %s was more than its limit of %s in %d s.",
			Span(now.Sub(x.gaveUp)), x.lastStraw, count(int(x.intensity), "restart"), x.period))
	}
	said = append(said, e.whyRule(), e.whyLimit(now), e.whyNext(now))
	if x := e.extra; x != nil {
		if x.note != "" && x.note != x.ended {
			said = append(said, sentence(x.note))
		}
		if x.text != "" {
			said = append(said, "It says of itself: "+sentence(x.text))
		}
	}
	said = sieve(said)
	return strings.Join(said, " "), true
}

func sieve(parts []string) []string {
	kept := parts[:0]
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return kept
}

func (e *entry) whyState(now time.Time) string {
	what := fmt.Sprintf("%s is %s", e.path, e.state)
	if e.pid != 0 {
		what += fmt.Sprintf(", as pid %d (incarnation %d) for %s", e.pid, e.incarnation, Span(now.Sub(wall(e.started))))
	} else if e.incarnation == 0 && e.state == StateDown {
		what += " and was never started"
	}
	if e.state == StateStuck && e.extra != nil {
		what += fmt.Sprintf(": it was killed, but %s still there, and no second copy is started meanwhile", pids(e.extra.pids))
	}
	return what + "."
}

func pids(of []int) string {
	if len(of) == 1 {
		return fmt.Sprintf("pid %d is", of[0])
	}
	text := strings.Trim(fmt.Sprint(of), "[]")
	return "pids " + strings.ReplaceAll(text, " ", ", ") + " are"
}

func (e *entry) whyExit(now time.Time) string {
	ended := "Its last process ended " + word(e.exit.reason)
	if signal := word(e.exit.signal); signal != "" {
		ended += ", by signal " + signal
		if e.extra != nil && e.extra.cause == OOM {
			ended += ", which the kernel sent for want of memory (oom)"
		}
	} else if e.exit.status >= 0 {
		ended += fmt.Sprintf(", with status %d", e.exit.status)
	}
	at := wall(e.exit.at)
	if x := e.extra; x != nil && x.ended != "" {
		return fmt.Sprintf("%s, %s ago (%s): %s", ended, Span(now.Sub(at)), at.Format(time.RFC3339), sentence(x.ended))
	}
	return fmt.Sprintf("%s, %s ago (%s).", ended, Span(now.Sub(at)), at.Format(time.RFC3339))
}

// whyRule says which of OTP's rules decides about its next end, or decided
// about the last one.
func (e *entry) whyRule() string {
	switch word(e.restart) {
	case "permanent":
		return "It is permanent: started again however it ends, unless it is stopped by hand."
	case "transient":
		return "It is transient: started again only after an abnormal end."
	case "temporary":
		return "It is temporary: never started again."
	case "once":
		return "Its restart is once: started again a single time, and then left down."
	}
	return ""
}

func (e *entry) whyLimit(now time.Time) string {
	times := ""
	if e.restarts > 0 {
		times = "It was started again " + count(int(e.restarts), "time") + ". "
	}
	if e.parent == nil || e.parent.extra == nil || !e.parent.extra.limited {
		return strings.TrimSpace(times)
	}
	x := e.parent.extra
	limit := fmt.Sprintf("Its supervisor gives up at more than %s in %d s; ", count(int(x.intensity), "restart"), x.period)
	// The period counts whole seconds, both ends included.
	if ago := now.Sub(x.countedAt); x.counted > 0 && ago < time.Duration(x.period+1)*time.Second {
		return times + limit + fmt.Sprintf("it has counted %d so far, the last %s ago.", x.counted, Span(ago))
	}
	return times + limit + "none counts at present."
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

func (e *entry) whyNext(now time.Time) string {
	x := e.extra
	switch {
	case e.state != StateWaiting || x == nil || x.next.IsZero():
		return ""
	case !x.next.After(now):
		return "The next try is due."
	}
	return fmt.Sprintf("The next try is in %s.", Span(x.next.Sub(now)))
}

func sentence(text string) string {
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// Span writes a length of time for people: "350ms", "12s", "5m3s", "3h25m", "12d4h".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
