package care

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockWait is how long the container before may take to end.
const lockWait = 20 * time.Second

// noise is what Redis logs, as a failed handshake, when Nomad's check of the port connects and
// says nothing.
const noise = "unexpected eof while reading"

// lock takes the volume's lock, which the server inherits: two servers never share a volume.
func (n *Node) lock(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(n.Data, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) || ctx.Err() != nil {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s, which another container uses: %w", n.Data, err)
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// startServer starts Redis. Its log goes to log without the noise; heard is called for every line.
func (n *Node) startServer(ctx context.Context, args []string, lock *os.File, log io.Writer, heard func()) (*exec.Cmd, <-chan struct{}, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	bus := strconv.Itoa(n.BusPort)
	// Without the context's end: the server is asked to end, and ends in its own time.
	server := exec.CommandContext(context.WithoutCancel(ctx), "redis-server", append([]string{
		n.Conf,
		"--bind", n.Address, "--tls-port", n.Port, "--cluster-port", bus,
		"--cluster-announce-ip", n.Address,
		"--cluster-announce-tls-port", n.Port, "--cluster-announce-bus-port", bus,
	}, args...)...)
	server.Stdout, server.Stderr, server.ExtraFiles = in, in, []*os.File{lock}
	err = server.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, nil, fmt.Errorf("start Redis: %w", err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer func() { _ = out.Close() }()
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if line != "" && !strings.Contains(line, noise) {
				_, _ = io.WriteString(log, line)
				heard()
			}
			if err != nil {
				return
			}
		}
	}()
	return server, read, nil
}
