package backup_test

import (
	"context"
	"errors"
	"io"
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
	asked := strings.TrimPrefix(strings.Join(command, " "), "pgbackrest --stanza=shop ")
	l.ran = append(l.ran, asked)
	if slices.Contains(l.refused, asked) {
		return "", "ERROR: [028]: it is another cluster's", 28, nil
	}
	if strings.HasPrefix(asked, "info") {
		return l.info, "", 0, nil
	}
	return "", "", 0, nil
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
		"a full one of yesterday": {info: `[{"backup":[{"type":"full","timestamp":{"stop":100}}]}]`, want: full},
		"a full one of today": {
			info: `[{"backup":[{"type":"full","timestamp":{"stop":5000}},{"type":"incr","timestamp":{"stop":9000}}]}]`,
			want: incremental,
		},
		"only increments of today": {
			info: `[{"backup":[{"type":"full","timestamp":{"stop":100}},{"type":"incr","timestamp":{"stop":9000}}]}]`,
			want: full,
		},
		"another cluster":           {info: `[{"backup":[]}]`, refused: []string{"stanza-create"}, want: full},
		"no stanza to be had":       {refused: []string{"stanza-create", "stanza-upgrade"}, want: "stanza-upgrade", fails: true},
		"the backup does not end":   {info: `[]`, refused: []string{full}, want: full, fails: true},
		"what is known is not JSON": {info: "[", want: "info --output=json", fails: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &leader{info: test.info, refused: test.refused}
			err := backup.Run(t.Context(), l.exec, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Hour, time.Unix(6000, 0))
			if (err != nil) != test.fails || l.ran[len(l.ran)-1] != test.want {
				t.Errorf("%v after %q, want %q to be the last and failure to be %t", err, l.ran, test.want, test.fails)
			}
		})
	}
}

func TestRunSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	l := &leader{info: "[]", refused: []string{"--type=full backup"}}
	err := backup.Run(t.Context(), l.exec, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Hour, time.Unix(6000, 0))
	if err == nil || !strings.Contains(err.Error(), "it is another cluster's") {
		t.Errorf("error %v, want what pgbackrest said", err)
	}
	away := errors.New("no connection")
	gone := func(context.Context, ...string) (string, string, int, error) { return "", "", 0, away }
	if err := backup.Run(t.Context(), gone, slog.Default(), time.Hour, time.Unix(6000, 0)); !errors.Is(err, away) {
		t.Errorf("error %v, want %v", err, away)
	}
}
