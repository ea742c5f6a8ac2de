//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// brokenOff are the times after which the command is killed before it is let run to its end.
var brokenOff = []time.Duration{12 * time.Second}

// rotateWithin bounds one run of the command.
const rotateWithin = 10 * time.Minute

// rotateAll gives the shop all its keys, certificates, passwords and tokens anew under the load of customers, and breaks
// that off once. No request fails; then what was before is refused, and what is now works.
func rotateAll(t *testing.T) {
	old := secretsNow(t)
	l := shoptest.NewLoad(t, boughtBooks, copies)
	current := followToken(t, l.Shop)
	customers := l.Everyday()
	for i := range customers {
		// What was acknowledged is compared with what is stored; a try that fails is counted all the same.
		customers[i].Persist = customers[i].Kind == shoptest.Orders
	}
	l.Start(t, customers...)
	l.More(t, shoptest.Orders, 20)

	began := time.Now()
	for _, after := range brokenOff {
		runRotate(t, after)
	}
	if !runRotate(t, rotateWithin) || !runRotate(t, rotateWithin, "backup") {
		t.Fatalf("the rotation did not end within %s", rotateWithin)
	}
	t.Logf("everything was rotated after %s", time.Since(began).Round(time.Second))
	l.More(t, shoptest.Orders, 20)
	l.Finish()
	failed := l.Failed("")
	t.Logf("%d requests: %s", l.Sent(), l.Tally.Text())
	if len(failed) > 0 {
		t.Errorf("%d requests failed, such as\n%s", len(failed), shoptest.Examples(failed))
	}
	l.RequireRight(t)
	fmt.Printf("figure rotate_failed_requests %d\n", len(failed)) //nolint:forbidigo // a result, for programs that compare

	current.stop()
	cluster.Reopen()
	now := secretsNow(t)
	t.Setenv("BOOKSTORE_TEST_TOKEN", now.gateway["test_token"])
	t.Setenv("BOOKSTORE_OPERATOR_TOKEN", now.gateway["operator_token"])
	waitWhole(t, time.Minute, "the shop is whole after the rotation")
	cluster.RequireKept(t, l, copies)
	requireRotated(t, old, now)
}

// runRotate runs the command, and kills it after some time with all that it has started. It tells whether the command
// came to its end, which has to be a good one.
func runRotate(t *testing.T, killed time.Duration, what ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), killed)
	defer cancel()
	cmd := cluster.OperatorCommand(ctx, append([]string{"rotate", "--grace", "20s"}, what...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // an agent that it started may hold its output
	out, err := cmd.CombinedOutput()
	t.Logf("after %s at most:\n%s", killed, out)
	if ctx.Err() != nil {
		return false
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatal(err)
	}
	return true
}

// tokenFollower has a client send the token that is in Nomad now, as a program does that reads it from there.
type tokenFollower struct {
	next  http.RoundTripper
	token atomic.Pointer[string]
	stop  context.CancelFunc
}

// followToken has a client follow the token of tests.
func followToken(t *testing.T, c *shoptest.Client) *tokenFollower {
	t.Helper()
	f := &tokenFollower{next: c.HTTP.Transport}
	f.token.Store(&c.Token)
	var ctx context.Context
	ctx, f.stop = context.WithCancel(t.Context())
	t.Cleanup(f.stop)
	c.HTTP.Transport = f
	go func() {
		for ctx.Err() == nil {
			// While an agent is started anew, or the operator's own token changes, the next second tries again.
			cluster.Reopen()
			if v, _, err := cluster.Nomad(t).Variables().Peek("nomad/jobs/gateway", nil); err == nil && v != nil {
				token := v.Items["test_token"]
				f.token.Store(&token)
			}
			shoptest.Rest(ctx, time.Second)
		}
	}()
	return f
}

// RoundTrip sends a request with the token of now.
func (f *tokenFollower) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+*f.token.Load())
	return f.next.RoundTrip(r)
}

// kept is what a file of keys has.
func kept(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(cluster.Access + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
