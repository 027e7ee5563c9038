package config

import (
	"errors"
	"os/user"
	"strconv"
)

// accounts remembers which users and groups exist: a thousand children seldom
// run as more than a few.
type accounts struct {
	users  map[string]error
	groups map[string]error
}

func newAccounts() accounts {
	return accounts{users: map[string]error{}, groups: map[string]error{}}
}

// errNoEntry says that a number is no user of this machine. It may still run a process.
var errNoEntry = errors.New("no entry in the list of users")

// user looks for a user by name or number.
func (a *accounts) user(name string) error {
	err, known := a.users[name]
	if known {
		return err
	}
	switch number := isID(name); {
	case number:
		if _, lookup := user.LookupId(name); lookup != nil {
			err = errNoEntry
		}
	default:
		_, err = user.Lookup(name)
	}
	a.users[name] = err
	return err
}

// group looks for a group by name; a number needs no entry.
func (a *accounts) group(name string) error {
	err, known := a.groups[name]
	if known {
		return err
	}
	if !isID(name) {
		_, err = user.LookupGroup(name)
	}
	a.groups[name] = err
	return err
}

// isID says whether s is a number that the kernel takes for a user or group:
// all but the last, which means none.
func isID(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n != 1<<32-1
}
