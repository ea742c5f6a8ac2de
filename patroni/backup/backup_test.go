package backup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/patroni/backup"
)

// leader answers as pgBackRest does where it runs; refused are the commands that it does not do, busy those that it does
// once another pgBackRest has ended.
type leader struct {
	info    string
	refused []string
	busy    []string
	ran     []string
}

func (l *leader) exec(_ context.Context, command ...string) (string, string, int, error) {
	args := strings.TrimPrefix(strings.Join(command, " "), "pgbackrest --stanza=shop ")
	l.ran = append(l.ran, args)
	if i := slices.Index(l.busy, args); i >= 0 {
		l.busy = slices.Delete(l.busy, i, i+1)
		return "", "ERROR: [050]: unable to acquire lock", 50, nil
	}
	if slices.Contains(l.refused, args) {
		return "", "ERROR: [028]: it is another cluster's", 28, nil
	}
	if strings.Contains(args, " info ") {
		return l.info, "", 0, nil
	}
	return "", "", 0, nil
}

// of is a backup as `pgbackrest info` tells of it.
func of(kind string, stop int, timeline string) string {
	return fmt.Sprintf(`{"type":%q,"timestamp":{"stop":%d},"archive":{"stop":"%s0000000000000005"}}`, kind, stop, timeline)
}

func known(timeline, backups string) string {
	return fmt.Sprintf(`[{"backup":[%s],"archive":[{"max":"FFFFFFFF0000000000000001"},{"max":"%s0000000000000007"}]}]`, backups, timeline)
}

func TestRun(t *testing.T) {
	t.Parallel()
	const full, incremental = "--repo=1 --type=full backup", "--repo=1 --type=incr backup"
	const known1 = "--repo=1 info --output=json"
	neither := []string{"stanza-create", "stanza-upgrade"}
	tests := map[string]struct {
		info    string
		refused []string
		want    string // the last command
		fails   bool
	}{
		"no backup yet":           {info: `[{"backup":[]}]`, want: full},
		"a full one of yesterday": {info: known("00000001", of("full", 100, "00000001")), want: full},
		"a full one of today": {
			info: known("00000001", of("full", 5000, "00000001")+","+of("incr", 5500, "00000001")), want: incremental,
		},
		"only increments of today": {
			info: known("00000001", of("full", 100, "00000001")+","+of("incr", 5500, "00000001")), want: full,
		},
		"a full one of today, of another timeline": {info: known("00000002", of("full", 5000, "00000001")), want: full},
		"another cluster":                          {info: `[{"backup":[]}]`, refused: []string{"stanza-create"}, want: full},
		"no stanza to be had":                      {info: `[{"repo":[{"status":{"code":1}}]}]`, refused: neither, want: known1, fails: true},
		"the other repository is away":             {info: `[{"repo":[{"status":{"code":2}}]}]`, refused: neither, want: full},
		"the backup does not end":                  {info: `[]`, refused: []string{full}, want: full, fails: true},
		"what is known is not JSON":                {info: "[", want: known1, fails: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &leader{info: test.info, refused: test.refused}
			err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), backup.Volume, time.Hour, time.Unix(6000, 0))
			if (err != nil) != test.fails || l.ran[len(l.ran)-1] != test.want {
				t.Errorf("%v after %q, want %q to be the last and failure to be %t", err, l.ran, test.want, test.fails)
			}
		})
	}
}

// A bucket is made where there is none, and one that is somebody else's is not the end.
func TestRunInS3(t *testing.T) {
	t.Parallel()
	for _, refused := range [][]string{{"stanza-create"}, {"stanza-create", "--repo=2 repo-create"}} {
		l := &leader{info: "[]", refused: refused}
		if err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), backup.S3, time.Hour, time.Unix(6000, 0)); err != nil {
			t.Error(err)
		}
		if made := slices.Contains(l.ran, "--repo=2 repo-create"); !made || l.ran[len(l.ran)-1] != "--repo=2 --type=full backup" {
			t.Errorf("ran %q", l.ran)
		}
	}
}

// One backup waits for the other, as long as it has time.
func TestRunWaitsForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const full = "--repo=1 --type=full backup"
		l := &leader{info: "[]", busy: []string{"stanza-create", full, full}}
		began := time.Now()
		if err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), backup.Volume, time.Hour, began); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != 15*time.Second {
			t.Errorf("waited %s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l.busy = slices.Repeat([]string{full}, 100)
		if err := backup.Run(ctx, l.exec, slog.New(slog.DiscardHandler), backup.Volume, time.Hour, began); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v after a minute", err)
		}
	})
}

func TestRunSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	l := &leader{info: "[]", refused: []string{"--repo=1 --type=full backup"}}
	err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), backup.Volume, time.Hour, time.Unix(6000, 0))
	if err == nil || !strings.Contains(err.Error(), "it is another cluster's") {
		t.Errorf("error %v, want what pgbackrest said", err)
	}
	away := errors.New("no connection")
	gone := func(context.Context, ...string) (string, string, int, error) { return "", "", 0, away }
	if err := backup.Run(t.Context(), gone, slog.Default(), backup.Volume, time.Hour, time.Unix(6000, 0)); !errors.Is(err, away) {
		t.Errorf("error %v, want %v", err, away)
	}
}
