// Package nomadexec runs a command in a task by Nomad's exec, and knows whether it ran to its end.
package nomadexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"bookstore/services/platform/wait"
)

// Result is what a command said, and its exit status.
type Result struct {
	Stdout, Stderr string
	Exit           int
}

// script runs a command and adds its exit status to what it says on its standard error.
const script = `"$@"; echo "$?" >&2`

// tries bounds how often a command is started: Nomad's docker driver asks Docker for the state of a process that may not
// have started yet, and takes it for one that has ended well (seen in 1.11.3, for one in ten).
const tries = 10

// pause is the time between two of them.
const pause = 200 * time.Millisecond

// ErrUnfinished says that Nomad reported an end that the command did not report.
var ErrUnfinished = errors.New("nomad reports that the command has ended, the command does not")

// Run runs a command in a task of an allocation, whose image has a shell. Nomad may report success for a command that has
// not ended: then it is started again, so it has to be one that may run twice. An exit status other than 0 is no error.
func Run(ctx context.Context, client *api.Client, allocation *api.Allocation, task string, command ...string) (Result, error) {
	return repeat(ctx, func() (Result, error) {
		var stdout, stderr bytes.Buffer
		wrapped := append([]string{"sh", "-c", script, "sh"}, command...)
		exit, err := client.Allocations().Exec(ctx, allocation, task, false, wrapped, bytes.NewReader(nil), &stdout, &stderr, nil, (&api.QueryOptions{}).WithContext(ctx))
		return Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: exit}, err
	})
}

// repeat calls once until its command has reported its exit status.
func repeat(ctx context.Context, once func() (Result, error)) (Result, error) {
	for try := 1; ; try++ {
		result, err := once()
		if err != nil {
			return Result{}, err
		}
		if result.Exit != 0 { // the shell itself did not run
			return result, nil
		}
		if ended, ok := finished(result); ok {
			return ended, nil
		}
		if try == tries || !wait.For(ctx, pause) {
			return Result{}, errors.Join(ctx.Err(), fmt.Errorf("%w (%d times)", ErrUnfinished, try))
		}
	}
}

// finished takes the exit status from the last line of the standard error.
func finished(result Result) (Result, bool) {
	said, whole := strings.CutSuffix(result.Stderr, "\n")
	start := strings.LastIndexByte(said, '\n') + 1
	status, err := strconv.Atoi(said[start:])
	if !whole || err != nil {
		return Result{}, false
	}
	result.Stderr, result.Exit = said[:start], status
	return result, true
}
