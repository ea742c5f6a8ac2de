package nomadexec

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestAnEndWithoutAnExitStatusIsNoEnd(t *testing.T) {
	t.Parallel()
	refused := errors.New("no such task")
	tests := map[string]struct {
		answers []Result // in turn, the last one for ever
		err     error
		want    Result
		wantErr error
		calls   int
	}{
		"well":                     {answers: []Result{{Stdout: "ok", Stderr: "0\n"}}, want: Result{Stdout: "ok"}, calls: 1},
		"with an exit status":      {answers: []Result{{Stderr: "ERROR: [050]\n50\n"}}, want: Result{Stderr: "ERROR: [050]\n", Exit: 50}, calls: 1},
		"no shell":                 {answers: []Result{{Stderr: "no sh", Exit: 127}}, want: Result{Stderr: "no sh", Exit: 127}, calls: 1},
		"not started at first":     {answers: []Result{{}, {Stderr: "0\n"}}, calls: 2},
		"cut off in the status":    {answers: []Result{{Stderr: "5"}, {Stderr: "50\n"}}, want: Result{Exit: 50}, calls: 2},
		"a line that is no status": {answers: []Result{{Stderr: "WARN\n"}, {Stderr: "WARN\n0\n"}}, want: Result{Stderr: "WARN\n"}, calls: 2},
		"never":                    {answers: []Result{{}}, wantErr: ErrUnfinished, calls: tries},
		"refused by Nomad":         {answers: []Result{{}}, err: refused, wantErr: refused, calls: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				got, err := repeat(t.Context(), func() (Result, error) {
					answer := test.answers[min(calls, len(test.answers)-1)]
					calls++
					return answer, test.err
				})
				if got != test.want || !errors.Is(err, test.wantErr) || calls != test.calls {
					t.Errorf("got %+v, %v after %d calls; want %+v, %v after %d", got, err, calls, test.want, test.wantErr, test.calls)
				}
			})
		})
	}
}

func TestNoCommandIsStartedAfterItsTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := repeat(ctx, func() (Result, error) { calls++; cancel(); return Result{}, nil })
	if calls != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after %d calls, want one call and that its context is cancelled", err, calls)
	}
}
