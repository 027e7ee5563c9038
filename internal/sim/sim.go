// Package sim runs a whole tree in one process, in virtual time.
//
// A Scenario is a supervision tree and a list of steps. A runner carries the
// steps out on a World, waits after each until nothing is left to do, and
// prints what happened: the trace that Erlang/OTP's own supervisor leaves for
// the same scenario, byte for byte. The virtual World of this package steps one
// tree.Supervisor for each supervisor of the tree; another may drive real
// nodes through the same interface.
package sim

// Run runs a scenario in virtual time and returns its trace.
func Run(s *Scenario) ([]byte, error) { return RunOn(s, NewVirtual()) }
