package main

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestBank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := proctest.New(t)
		if err := tree.Start("/bank", bank); err != nil {
			t.Fatal(err)
		}
		ctx := tree.Context()
		account := func(who string, want error) {
			t.Helper()
			if _, err := NewAccount.Call(ctx, Bank, who); !errors.Is(err, want) {
				t.Errorf("a new account for %s: %v, want %v", who, err, want)
			}
		}
		order := func(do proc.Call[Order, int], who string, amount, want int, wantErr error) {
			t.Helper()
			if have, err := do.Call(ctx, Bank, Order{who, amount}); have != want || !errors.Is(err, wantErr) {
				t.Errorf("%s %s %d: %d, %v", do, who, amount, have, err)
			}
		}
		order(Withdraw, "main", 15, 985, nil)
		order(Deposit, "Joe", 10, 0, NotACustomer)
		account("Joe", nil)
		account("Joe", AlreadyACustomer)
		order(Deposit, "Joe", 10, 10, nil)
		order(Deposit, "Joe", 30, 40, nil)
		order(Withdraw, "Joe", 15, 25, nil)
		order(Withdraw, "Joe", 45, 0, InsufficientBalance)
		have := 0
		if _, err := Withdraw.Call(ctx, Bank, Order{"Joe", 45}); !InsufficientBalance.Data(err, &have) || have != 25 {
			t.Errorf("the error says that there is %d: %v", have, err)
		}
		order(Withdraw, "Joe", 25, 0, nil)
		if answer, err := Stop.Call(ctx, Bank, proc.None{}); err != nil || answer != "stopped" {
			t.Errorf("stop: %q, %v", answer, err)
		}
		if down := tree.Wait("/bank"); down.Reason.Class != proc.Normal {
			t.Errorf("it ended %v", down.Reason)
		}
	})
}
