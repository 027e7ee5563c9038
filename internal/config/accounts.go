package config

import (
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

// user looks for a user. A number needs no entry: containers seldom have one.
func (a *accounts) user(name string) error {
	err, known := a.users[name]
	if !known && !isID(name) {
		_, err = user.Lookup(name)
		a.users[name] = err
	}
	return err
}

// group looks for a group, as user does for a user.
func (a *accounts) group(name string) error {
	err, known := a.groups[name]
	if !known && !isID(name) {
		_, err = user.LookupGroup(name)
		a.groups[name] = err
	}
	return err
}

// isID says whether s is a number that the kernel takes for a user or group:
// all but the last, which means none.
func isID(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n != 1<<32-1
}
