package stage

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/supertrees/supervise/ipc"
)

// IsActor says whether this process is a worker of a stage.
func IsActor() bool {
	return os.Getenv(envStage) != "" && os.Getenv("SUPERVISE_CHANNEL") != ""
}

// Act is the whole life of a worker of a stage. It returns its exit status.
func Act() int {
	orders := make(chan os.Signal, 1)
	signal.Notify(orders, syscall.SIGTERM)
	link, err := openChannel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	answer, lines, err := question()
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	what, detail, _ := strings.Cut(answer, " ")
	switch what {
	case "error":
		link.cast(ipc.VerbFailed, `{"reason":"`+detail+`"}`)
		return 1
	case "ignore":
		link.cast(ipc.VerbIgnore, "")
		return 0
	}
	link.cast(ipc.VerbReady, "")
	return perform(detail, orders, told(lines))
}

// perform does what the scenario says, until the end.
func perform(onShutdown string, orders <-chan os.Signal, told <-chan string) int {
	for {
		select {
		case <-orders:
			switch onShutdown {
			case "exit":
				return 0
			case "abnormal":
				return 3
			}
		case line := <-told:
			switch line {
			case "exit normal":
				return 0
			case "exit abnormal":
				return 1
			case "exit shutdown", "exit shutdown_term":
				signal.Reset(syscall.SIGTERM)
				syscall.Kill(os.Getpid(), syscall.SIGTERM)
				select {}
			}
		}
	}
}

// told is what the stage says, line by line.
func told(lines *bufio.Scanner) <-chan string {
	ch := make(chan string)
	go func() {
		for lines.Scan() {
			ch <- lines.Text()
		}
	}()
	return ch
}

// channel is the worker's end of its pipes.
type channel struct{ conn *ipc.Conn }

func openChannel() (*channel, error) {
	var r, w int
	if _, err := fmt.Sscanf(os.Getenv("SUPERVISE_CHANNEL"), "%d,%d", &r, &w); err != nil {
		return nil, fmt.Errorf("reading SUPERVISE_CHANNEL: %w", err)
	}
	c := &channel{ipc.NewConn(os.NewFile(uintptr(r), "channel"), os.NewFile(uintptr(w), "channel"), 0)}
	c.cast(ipc.VerbHello, `{"protocol":1,"client":"stage"}`)
	return c, nil
}

func (c *channel) cast(method, payload string) {
	m := ipc.Message{Type: ipc.Cast, Method: method}
	if payload != "" {
		m.Codec, m.Payload = ipc.CodecJSON, []byte(payload)
	}
	_ = c.conn.Send(m) // without its node this process is about to be killed
}

// Admit asks the stage, if there is one, what comes of a supervisor's start.
func Admit() (ignore bool, err error) {
	if os.Getenv(envStage) == "" {
		return false, nil
	}
	answer, _, err := question()
	if err != nil {
		return false, err
	}
	what, detail, _ := strings.Cut(answer, " ")
	switch what {
	case "error":
		return false, errors.New(detail)
	case "ignore":
		return true, nil
	}
	return false, nil
}
