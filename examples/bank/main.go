// Bank keeps accounts: errors are replies, and stop answers before it ends.
package main

import (
	"context"

	"github.com/supertrees/supervise/proc"
)

// Order is money for or from somebody.
type Order struct {
	Who    string
	Amount int
}

// The protocol of the bank.
const (
	Bank       proc.Name                    = "bank"
	NewAccount proc.Call[string, string]    = "new_account"
	Deposit    proc.Call[Order, int]        = "deposit"
	Withdraw   proc.Call[Order, int]        = "withdraw"
	Stop       proc.Call[proc.None, string] = "stop"

	AlreadyACustomer    proc.Error = "already_a_customer"
	NotACustomer        proc.Error = "not_a_customer"
	InsufficientBalance proc.Error = "insufficient_balance" // with what there is
)

func bank(s *proc.Server) error {
	accounts := map[string]int{"main": 1000}
	NewAccount.Handle(s, func(_ context.Context, who string) (string, error) {
		if _, ok := accounts[who]; ok {
			return "", AlreadyACustomer
		}
		accounts[who] = 0
		return "welcome", nil
	})
	deposit := func(_ context.Context, o Order) (int, error) {
		if _, ok := accounts[o.Who]; !ok {
			return 0, NotACustomer
		}
		accounts[o.Who] += o.Amount
		return accounts[o.Who], nil
	}
	Deposit.Handle(s, deposit)
	Withdraw.Handle(s, func(ctx context.Context, o Order) (int, error) {
		if have, ok := accounts[o.Who]; ok && have < o.Amount {
			return 0, InsufficientBalance.With(have)
		}
		return deposit(ctx, Order{o.Who, -o.Amount})
	})
	Stop.Handle(s, func(context.Context, proc.None) (string, error) {
		s.Stop(nil) // OnTerminate runs, then this answer goes out, then the exit with 0
		return "stopped", nil
	})
	return s.Register(Bank)
}

func main() { proc.Main(bank) }
