package main

import (
	"fmt"
	"os"
	"syscall"
)

const prSetChildSubreaper = 36

// protection is what a contained child costs its supervisor beside the fork.
type protection struct {
	epoll   int
	lives   []life
	writers [2]int // the child's ends, between prepare and started
	pidfd   int
	sys     syscall.SysProcAttr
}

// life is what is held for one living child.
type life struct {
	readers [2]int
	pidfd   int
}

func protect(n int) (*protection, error) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return nil, fmt.Errorf("becoming a subreaper: %w", errno)
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	p := &protection{epoll: epoll, lives: make([]life, n)}
	p.sys = syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd}
	go p.read()
	return p, nil
}

// prepare makes the two pipes of a new life.
func (p *protection) prepare(i int, attr *syscall.ProcAttr) error {
	for k := range p.writers {
		var ends [2]int
		if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		if err := syscall.SetNonblock(ends[0], true); err != nil {
			return fmt.Errorf("making a pipe non-blocking: %w", err)
		}
		p.lives[i].readers[k], p.writers[k] = ends[0], ends[1]
		attr.Files[1+k] = uintptr(ends[1])
	}
	attr.Sys = &p.sys
	return nil
}

// started gives up the child's ends and watches ours.
func (p *protection) started(i int) error {
	life := &p.lives[i]
	life.pidfd = p.pidfd
	for k, reader := range life.readers {
		syscall.Close(p.writers[k])
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(reader)}
		if err := syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, reader, &event); err != nil {
			return fmt.Errorf("watching a pipe: %w", err)
		}
	}
	return nil
}

// ended closes what was held for a life.
func (p *protection) ended(i int) {
	life := &p.lives[i]
	syscall.Close(life.pidfd)
	for _, reader := range life.readers {
		syscall.Close(reader)
	}
}

// read throws away what the children print. The end of a pipe is left to
// ended, which closes it; until then the epoll would report it again and again.
func (p *protection) read() {
	events := make([]syscall.EpollEvent, 64)
	buffer := make([]byte, 64<<10)
	for {
		n, err := syscall.EpollWait(p.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			fmt.Fprintln(os.Stderr, "golimit: waiting for output:", err)
			return
		}
		for _, event := range events[:max(n, 0)] {
			fd := int(event.Fd)
			if n, err := syscall.Read(fd, buffer); n == 0 || err != nil && err != syscall.EAGAIN {
				syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_DEL, fd, nil)
			}
		}
	}
}
