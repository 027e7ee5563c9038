package child

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A child is born with default dispositions, an empty mask, the descriptors 0
// to 2, the limits and the umask of whoever started supervise, however careless
// that was.
func TestAChildIsBornClean(t *testing.T) {
	for _, how := range []string{"clean", "careless"} {
		t.Run(how, func(t *testing.T) {
			var out []byte
			var err error
			cmd := exec.Command("sh", "-c", `trap "" PIPE HUP INT TERM TSTP TTOU USR1; ulimit -Sn 512; umask 027; exec "$0" 7</etc/passwd 8>/dev/null`, self(t))
			cmd.Env = append(os.Environ(), "CHILD_TEST_ROLE="+how)
			out, err = cmd.CombinedOutput()
			want := strings.Join([]string{
				"SigBlk:\t0000000000000000",
				"SigIgn:\t0000000000000000",
				"0", "1", "2", "/dev/null", "512", "0027", "",
			}, "\n")
			if err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant\n%s", err, out, want)
			}
		})
	}
}
