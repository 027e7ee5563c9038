package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestUpdaterFetchesEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		fetch := func(context.Context) (string, error) {
			if n++; n == 3 {
				return "", errors.New("not today")
			}
			return fmt.Sprint("page ", n), nil
		}
		tree := proctest.New(t)
		if err := tree.Start("/updater", updater(fetch)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10500 * time.Millisecond) // virtual
		got, err := Latest.Call(tree.Context(), Updater, proc.None{})
		if want := (State{9, "page 10"}); err != nil || got != want {
			t.Errorf("after 10 s: %+v, %v, want %+v", got, err, want)
		}
		tree.Stop("/updater")
		time.Sleep(5 * time.Second)
		if n != 10 {
			t.Errorf("it fetched %d times", n)
		}
	})
}

func TestGet(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	defer srv.Close()
	if page, err := get(srv.URL)(t.Context()); err != nil || page != "hello" {
		t.Errorf("%q, %v", page, err)
	}
	if _, err := get(srv.URL + "/nothing")(t.Context()); err == nil {
		t.Error("a page that is not there was found")
	}
}
