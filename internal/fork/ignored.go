package fork

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// IgnoredSignals reads which signals this process ignores. An exec leaves them
// ignored, where it makes a handled one default.
func IgnoredSignals() []syscall.Signal {
	status, _ := os.ReadFile("/proc/self/status")
	var ignored []syscall.Signal
	for line := range strings.Lines(string(status)) {
		hex, ok := strings.CutPrefix(line, "SigIgn:")
		if !ok {
			continue
		}
		mask, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			if mask&(1<<(sig-1)) != 0 {
				ignored = append(ignored, sig)
			}
		}
	}
	return ignored
}
