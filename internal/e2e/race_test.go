//go:build race

package e2e

// raceEnabled says that the program is to be built with the race detector, as
// the tests are.
const raceEnabled = true
