package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What the program links, every node of every tree carries: docs/decisions/http.md.
func TestTheProgramLinksNothingHeavy(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, heavy := range []string{"net/http", "crypto/tls", "text/template", "html/template", "go/parser"} {
		if slices.Contains(deps, heavy) {
			t.Errorf("something pulls in %s, and each node pays for it", heavy)
		}
	}
}
