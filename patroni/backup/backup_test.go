package backup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/patroni/backup"
)

// leader answers as pgBackRest does where it runs; refused are the commands that it does not do.
type leader struct {
	info    string
	refused []string
	ran     []string
}

func (l *leader) exec(_ context.Context, command ...string) (string, string, int, error) {
	args := strings.TrimPrefix(strings.Join(command, " "), "pgbackrest --stanza=shop ")
	l.ran = append(l.ran, args)
	if slices.Contains(l.refused, args) {
		return "", "ERROR: [028]: it is another cluster's", 28, nil
	}
	if strings.HasPrefix(args, "info") {
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
	const full, incremental = "--type=full backup", "--type=incr backup"
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
		"no stanza to be had":                      {refused: []string{"stanza-create", "stanza-upgrade"}, want: "stanza-upgrade", fails: true},
		"the backup does not end":                  {info: `[]`, refused: []string{full}, want: full, fails: true},
		"what is known is not JSON":                {info: "[", want: "info --output=json", fails: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &leader{info: test.info, refused: test.refused}
			err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), time.Hour, time.Unix(6000, 0))
			if (err != nil) != test.fails || l.ran[len(l.ran)-1] != test.want {
				t.Errorf("%v after %q, want %q to be the last and failure to be %t", err, l.ran, test.want, test.fails)
			}
		})
	}
}

func TestRunSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	l := &leader{info: "[]", refused: []string{"--type=full backup"}}
	err := backup.Run(t.Context(), l.exec, slog.New(slog.DiscardHandler), time.Hour, time.Unix(6000, 0))
	if err == nil || !strings.Contains(err.Error(), "it is another cluster's") {
		t.Errorf("error %v, want what pgbackrest said", err)
	}
	away := errors.New("no connection")
	gone := func(context.Context, ...string) (string, string, int, error) { return "", "", 0, away }
	if err := backup.Run(t.Context(), gone, slog.Default(), time.Hour, time.Unix(6000, 0)); !errors.Is(err, away) {
		t.Errorf("error %v, want %v", err, away)
	}
}
