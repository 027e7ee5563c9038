package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/supertrees/supervise/internal/control"
)

// defaultCallTime is how long a call waits where nobody says otherwise: OTP's.
const defaultCallTime = 5 * time.Second

// callCommand calls a worker.
type callCommand struct {
	target
	timeout time.Duration
}

func (c *callCommand) About() about {
	return about{
		name:    "call",
		args:    "TO METHOD [JSON]",
		summary: "call a worker and print its reply",
		details: "TO is a registered name, a /path or an address such as @3.17; the worker has a channel. JSON is what the method takes: '\"Joe\"', '{\"Who\":\"Joe\",\"Amount\":5}'; left out, it is nothing. " +
			"A supervisor's path answers which_children, count_children and get_childspec. " +
			"An error of the worker stands on standard error, its code first, and the status is 1; it is 69 where there is no such worker, and 124 where the time runs out.",
	}
}

// Flags declares how long the reply is waited for.
func (c *callCommand) Flags(f *flags) {
	c.timeout = defaultCallTime
	f.DurationVar(&c.timeout, "timeout", "how long to wait for the reply; 0: without limit")
}

// Run calls and prints the reply, on one line.
func (c *callCommand) Run(ctx context.Context, io *stdio, words []string) error {
	m, err := message("call", words)
	if err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	query := url.Values{}
	if err := addTimeout("call", query, c.timeout); err != nil {
		return err
	}
	var answer control.Reply
	if err := client.Post(ctx, "call", "", query, m, &answer); err != nil {
		return fmt.Errorf("call %s %s: %w", m.To, m.Method, err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, answer.Reply); err != nil {
		return fmt.Errorf("call %s %s: reading the reply: %w", m.To, m.Method, err)
	}
	_, err = fmt.Fprintln(io.out, line.String())
	return err
}

// castCommand casts to workers.
type castCommand struct{ target }

func (c *castCommand) About() about {
	return about{
		name:    "cast",
		args:    "TO METHOD [JSON]",
		summary: "send workers a message without an answer",
		details: "TO and JSON are as for call; TO may also be group:NAME. It succeeds when the message is on its way, for nobody as well, as OTP's cast does.",
	}
}

// Flags has none of its own to declare.
func (c *castCommand) Flags(*flags) {}

// Run casts.
func (c *castCommand) Run(ctx context.Context, io *stdio, words []string) error {
	m, err := message("cast", words)
	if err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	if err := client.Post(ctx, "cast", "", url.Values{}, m, &struct{}{}); err != nil {
		return fmt.Errorf("cast %s %s: %w", m.To, m.Method, err)
	}
	return nil
}

// message reads the words of a call or a cast.
func message(command string, words []string) (control.Message, error) {
	if len(words) != 2 && len(words) != 3 {
		return control.Message{}, usage(command, "%s takes TO, METHOD and, if the method takes something, JSON", command)
	}
	m := control.Message{To: words[0], Method: words[1]}
	if len(words) == 3 {
		if !json.Valid([]byte(words[2])) {
			return m, usage(command, "%s is no JSON: a string is written '\"%s\"'", words[2], words[2])
		}
		m.Payload = json.RawMessage(words[2])
	}
	return m, nil
}

// namesCommand lists the registered names.
type namesCommand struct{ target }

func (c *namesCommand) About() about {
	return about{
		name:    "names",
		summary: "list the registered names, and who holds them",
		details: "A line a name: the name, the path, the address and the incarnation of the life that holds it.",
	}
}

// Flags has none of its own to declare.
func (c *namesCommand) Flags(*flags) {}

// Run asks for the names and prints them.
func (c *namesCommand) Run(ctx context.Context, io *stdio, words []string) error {
	if err := noWords("names", words); err != nil {
		return err
	}
	client, err := c.client(io)
	if err != nil {
		return err
	}
	names := []control.Name{}
	if err := client.Get(ctx, "names", "", nil, &names); err != nil {
		return fmt.Errorf("listing the names: %w", err)
	}
	if c.json {
		return printJSON(io, names)
	}
	for _, n := range names {
		if _, err := fmt.Fprintf(io.out, "%s\t%s\t%s\t#%d\n", n.Name, n.Path, n.Addr, n.Incarnation); err != nil {
			return err
		}
	}
	return nil
}

// callees are what may be called: the names and the paths of the tree.
func callees(ctx context.Context, io *stdio, c command, before []string) (all []string) {
	client := completionClient(io, c, before)
	if client == nil {
		return nil
	}
	var names []control.Name
	if client.Get(ctx, "names", "", nil, &names) == nil {
		for _, n := range names {
			all = append(all, n.Name)
		}
	}
	var paths []string
	_ = client.Get(ctx, "paths", "", nil, &paths)
	return append(all, paths...)
}

// methods are what one of them says that it answers to.
func methods(ctx context.Context, io *stdio, c command, before []string, to string) (all []string) {
	client := completionClient(io, c, before)
	if client == nil {
		return nil
	}
	var answer control.Reply
	query := url.Values{"timeout": {completeWait.String()}}
	if client.Post(ctx, "call", "", query, control.Message{To: to, Method: "$methods"}, &answer) == nil {
		_ = json.Unmarshal(answer.Reply, &all)
	}
	return all
}

// printChannel prints what is known of a worker's channel, on one line.
func printChannel(io *stdio, c *control.Channel) {
	if c == nil {
		return
	}
	var s struct {
		Mailbox *int     `json:"mailbox"`
		Handled uint64   `json:"handled"`
		Expired uint64   `json:"expired"`
		P50     *float64 `json:"p50"`
		P99     *float64 `json:"p99"`
	}
	_ = json.Unmarshal(c.Statistics, &s)
	line := fmt.Sprintf("channel: %d wait for its answer, %d calls of its own open", c.Waiting, c.Calls)
	if s.Mailbox != nil {
		line += fmt.Sprintf(", %d in its mailbox, %d handled", *s.Mailbox, s.Handled)
	}
	if s.P50 != nil && s.P99 != nil {
		line += fmt.Sprintf(" in %s (p50), %s (p99)", seconds(*s.P50), seconds(*s.P99))
	}
	if s.Expired > 0 {
		line += fmt.Sprintf(", %d too late for their callers (expired)", s.Expired)
	}
	if c.Queued > 0 {
		line += fmt.Sprintf(", %d bytes that it has not read", c.Queued)
	}
	if c.Dropped > 0 {
		line += fmt.Sprintf(", %d casts dropped", c.Dropped)
	}
	for i, name := range c.Names {
		if i == 0 {
			line += "; registered as "
		} else {
			line += ", "
		}
		line += name
	}
	fmt.Fprintln(io.out, line)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
