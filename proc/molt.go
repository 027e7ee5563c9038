package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/supertrees/supervise/ipc"
)

// moltVariable names the descriptor of the file that an old image leaves to
// the new one.
const moltVariable = "SUPERVISE_MOLT"

// moltMost bounds that file, in bytes.
const moltMost = mailboxCap * 2

// slough is what goes from one image to the next.
type slough struct {
	Hello   ipc.Hello       `json:"hello"`
	Gen     uint32          `json:"gen"` // ids of calls begin after it: late answers to the old image find nothing
	State   json.RawMessage `json:"state,omitempty"`
	Mailbox []sloughItem    `json:"mailbox,omitempty"`
}

// sloughItem is a call or a cast that waited in the mailbox.
type sloughItem struct {
	Call    bool      `json:"call,omitempty"`
	Codec   uint8     `json:"codec,omitempty"`
	ID      uint64    `json:"id,omitempty"`
	Src     ipc.Addr  `json:"src"`
	Method  string    `json:"method,omitempty"`
	Payload []byte    `json:"payload,omitempty"`
	By      time.Time `json:"by,omitzero"`
}

// Molt replaces the program of this process by argv, in the same life: the
// same pid, address, names, monitors and links; nil is this program again,
// from its file. What waits in the mailbox comes along, and state, as JSON,
// which may hold Froms that are still to be answered; the new Init reads it
// with Molted. Timers, functions in the mailbox and beside it, answers to calls
// under way, and casts that are kept back for a target that is behind are lost.
// It is for handlers, and does not return if it succeeds; a call
// that asks for it is answered by the From in the state, or not at all.
func (s *Server) Molt(argv []string, state any) error {
	own, err := own()
	if err != nil || own != s {
		return fmt.Errorf("molting: not the server of this process: %w", ErrNotSupervised)
	}
	if argv, err = program(argv); err != nil {
		return fmt.Errorf("molting: %w", err)
	}
	left, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("molting: encoding the state: %w", err)
	}
	m := ipc.Message{Type: ipc.Call, Method: ipc.VerbMolt}
	if a := s.ch.roundTrip(s.base(), &m, true); a.code != "" || a.failed {
		return fmt.Errorf("molting: the node refuses: %s%s", a.code, a.body)
	}
	// From here on the node keeps what is for this life. What others write
	// beside this handler must not end in the middle.
	s.ch.ordered.pause()
	err = s.shed(argv, left)
	s.ch.w.Thaw()
	s.ch.ordered.resume()
	s.ch.tell(ipc.VerbMolted, struct {
		OK bool `json:"ok"`
	}{false})
	return fmt.Errorf("molting into %s: %w", argv[0], err)
}

// program is argv with the file in place of the name: of this program if argv
// is nil.
func program(argv []string) ([]string, error) {
	if len(argv) == 0 {
		file, err := os.Executable()
		return append([]string{file}, os.Args[1:]...), err
	}
	if strings.Contains(argv[0], "/") {
		return argv, nil
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		file := filepath.Join(dir, argv[0])
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return append([]string{file}, argv[1:]...), nil
		}
	}
	return nil, fmt.Errorf("looking up %s: not in PATH", argv[0])
}

// shed writes what is left and executes argv. It returns only if it could not.
func (s *Server) shed(argv []string, state []byte) error {
	text, err := json.Marshal(slough{Hello: s.ch.hello, Gen: s.ch.calls.newest(), State: state, Mailbox: s.box.messages()})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "molt")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := s.ch.w.Freeze(); err != nil {
		return err
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%d,%d", channelVariable, inherited.r, inherited.w))
	return keepOpen([]int{inherited.r, inherited.w}, f, func(fd int) error {
		return syscall.Exec(argv[0], argv, append(env, fmt.Sprintf("%s=%d", moltVariable, fd)))
	})
}

// keepOpen runs exec with these descriptors, and a copy of f's, left open in
// the new image. Nobody forks meanwhile.
func keepOpen(fds []int, f *os.File, exec func(fd int) error) error {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	copied, err := syscall.Dup(int(f.Fd())) // a copy is not close-on-exec
	if err != nil {
		return err
	}
	defer syscall.Close(copied)
	for _, fd := range fds {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFD, 0); errno != 0 {
			return errno
		}
		defer syscall.CloseOnExec(fd)
	}
	return exec(copied)
}

// takeSlough reads what an old image has left; nil is nothing.
func takeSlough() (*slough, error) {
	v, ok := os.LookupEnv(moltVariable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(moltVariable)
	fd, err := strconv.Atoi(v)
	if err != nil {
		return nil, fmt.Errorf("reading %s=%q: not a descriptor", moltVariable, v)
	}
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "what the old image left")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading what the old image left: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, moltMost))
	if err != nil {
		return nil, fmt.Errorf("reading what the old image left: %w", err)
	}
	var left slough
	if err := json.Unmarshal(text, &left); err != nil {
		return nil, fmt.Errorf("reading what the old image left: %w", err)
	}
	return &left, nil
}

// Molted reads the state that the old image gave to Molt into state. It
// returns false in a life's first image, and if the state does not fit.
func (s *Server) Molted(state any) bool {
	return s.left != nil && json.Unmarshal(s.left.State, state) == nil
}

// restore puts the old image's messages into the mailbox, before anything new.
func (s *Server) restore() {
	for i := range s.left.Mailbox {
		it := &s.left.Mailbox[i]
		r := &request{s: s, method: it.Method, call: it.Call, codec: it.Codec, id: it.ID, src: it.Src, by: it.By}
		s.adopt(r)
		s.box.put(item{r: r, payload: it.Payload})
	}
	s.left.Mailbox = nil
}

// adopt makes a call known, so that its caller can cancel it.
func (s *Server) adopt(r *request) {
	if !r.call {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[r.id] = r
}

// messages is what waits in the mailbox, without functions.
func (b *mailbox) messages() []sloughItem {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []sloughItem
	for _, it := range b.waitingLocked() {
		if r := it.r; r != nil {
			all = append(all, sloughItem{r.call, r.codec, r.id, r.src, r.method, it.payload, r.by})
		}
	}
	return all
}

var errNoFrom = errors.New("a From that is not of a call")

// MarshalJSON lets a From go along in the state of a Molt, and nowhere else.
func (f From[Rep]) MarshalJSON() ([]byte, error) {
	if f.r == nil || !f.r.call {
		return nil, errNoFrom
	}
	return json.Marshal(sloughItem{Call: true, Codec: f.r.codec, ID: f.r.id, Src: f.r.src, By: f.r.by})
}

// UnmarshalJSON is the From again, in the new image.
func (f *From[Rep]) UnmarshalJSON(b []byte) error {
	s, err := own()
	if err != nil {
		return err
	}
	var it sloughItem
	if err := json.Unmarshal(b, &it); err != nil || !it.Call {
		return errNoFrom
	}
	f.r = &request{s: s, call: true, codec: it.Codec, id: it.ID, src: it.Src, by: it.By}
	s.adopt(f.r)
	return nil
}
