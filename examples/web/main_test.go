package main

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

// In real time: sockets and bubbles do not go together.
func TestWeb(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	tree := proctest.New(t)
	pages := fstest.MapFS{"hello": {Data: []byte("hello")}}
	if err := tree.Start("/web", web(pages, addr)); err == nil {
		t.Error("it started on an address that is taken")
	}
	ln.Close()
	if err := tree.Start("/web", web(pages, addr)); err != nil {
		t.Fatal(err)
	}
	get := func(want string) {
		t.Helper()
		resp, err := http.Get("http://" + addr + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if page, err := io.ReadAll(resp.Body); err != nil || string(page) != want {
			t.Errorf("the page is %q, %v", page, err)
		}
	}
	get("hello")
	pages["hello"] = &fstest.MapFile{Data: []byte("goodbye")}
	if err := Reload.Call(tree.Context(), proc.Name("/web"), proc.None{}); err != nil {
		t.Fatal(err)
	}
	get("goodbye")
	tree.Stop("/web")
	if resp, err := http.Get("http://" + addr + "/hello"); err == nil {
		resp.Body.Close()
		t.Error("it serves after its end")
	}
}
