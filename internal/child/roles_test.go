package child

// play is what the test binary does when it is started as somebody else.
func play(role string) {
	panic("no such role: " + role)
}
