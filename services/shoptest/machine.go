package shoptest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// machineTime is what /proc/stat says that all processors did, in hundredths of a second: user, nice,
// system, idle, waiting for a disk, interrupts, soft interrupts, and taken by the machine's host (proc_stat(5)).
type machineTime [8]float64

func machineNow() (m machineTime, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var name string
	fields := []any{&name}
	for i := range m {
		fields = append(fields, &m[i])
	}
	_, err = fmt.Sscan(line, fields...)
	return m, err
}

// LogOverload logs at the end of a test that failed in which of its seconds the machine had no processor
// time left: the cause of a failure in one of them may be the machine.
func LogOverload(t *testing.T) {
	t.Helper()
	ended, done := make(chan struct{}), make(chan struct{})
	var short []string
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		before, _ := machineNow()
		last := time.Now()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			now, err := machineNow()
			if err != nil {
				return
			}
			var all float64
			for i := range now {
				all += now[i] - before[i]
			}
			idle, stolen, took := (now[3]-before[3])/all, (now[7]-before[7])/all, time.Since(last)
			if (idle < 0.02 || stolen > 0.2 || took > 1500*time.Millisecond) && len(short) < 60 {
				short = append(short, fmt.Sprintf("%s: %.1f s, idle %.0f %%, taken by the host %.0f %%",
					last.UTC().Format(time.TimeOnly), took.Seconds(), 100*idle, 100*stolen))
			}
			before, last = now, time.Now()
		}
	}()
	t.Cleanup(func() {
		close(ended)
		<-done
		if t.Failed() {
			t.Logf("the machine had no processor time left at\n%s", strings.Join(short, "\n"))
		}
	})
}
