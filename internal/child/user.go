package child

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/supertrees/supervise/internal/fork"
)

var errNoUser = errors.New("there is no such user")
var errNoGroup = errors.New("there is no such group")

// become fills in whom the child runs as, looked up at every start. user alone
// brings its own groups and its HOME, USER and LOGNAME, as with systemd.
func (e *Engine) become(s Spawn, c *fork.Command) error {
	p := s.Process
	if p.User == "" && p.Group == "" {
		return nil
	}
	cred := &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), NoSetGroups: true}
	if p.User != "" {
		if err := e.becomeUser(p.User, cred); err != nil {
			return e.startError(s, "user", err, fmt.Sprintf("user %q", p.User))
		}
	}
	if p.Group != "" {
		gid, err := groupID(p.Group)
		if err != nil {
			return e.startError(s, "group", err, fmt.Sprintf("group %q", p.Group))
		}
		cred.Gid = gid
		if p.User == "" {
			cred.NoSetGroups = os.Geteuid() != 0
		}
	}
	if os.Geteuid() != 0 && cred.Uid == uint32(os.Geteuid()) && cred.Gid == uint32(os.Getegid()) {
		return nil // it is so already, and asking again would not be permitted
	}
	c.Credential = cred
	return nil
}

func (e *Engine) becomeUser(name string, cred *syscall.Credential) error {
	u, err := user.Lookup(name)
	if err != nil {
		if _, numeric := strconv.ParseUint(name, 10, 32); numeric == nil {
			u, err = user.LookupId(name)
			if err != nil { // a number without a name in the files is a user all the same
				uid, _ := strconv.ParseUint(name, 10, 32)
				cred.Uid, cred.Gid, cred.NoSetGroups = uint32(uid), uint32(uid), false
				return nil
			}
		}
	}
	if err != nil {
		return errNoUser
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return err
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			cred.Groups = append(cred.Groups, uint32(n))
		}
	}
	cred.Uid, cred.Gid, cred.NoSetGroups = uint32(uid), uint32(gid), false
	for _, kv := range [...]string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username} {
		e.env.set(kv)
	}
	return nil
}

func groupID(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	id := name
	if err == nil {
		id = g.Gid
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, errNoGroup
	}
	return uint32(n), nil
}

func userKey(p *Process) string {
	if p.User != "" {
		return "user"
	}
	return "group"
}

func describe(p *Process) string {
	switch {
	case p.Group == "":
		return fmt.Sprintf("user %q", p.User)
	case p.User == "":
		return fmt.Sprintf("group %q", p.Group)
	}
	return fmt.Sprintf("user %q, group %q", p.User, p.Group)
}
