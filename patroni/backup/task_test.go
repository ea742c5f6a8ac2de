package backup_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bookstore/patroni/backup"
	"bookstore/services/platform/program"
)

func TestRunSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	nomad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }))
	t.Cleanup(nomad.Close)
	tests := map[string]struct {
		args   []string
		values map[string]string
		want   []string
	}{
		"arguments":        {args: []string{"now"}, want: []string{"takes no arguments"}},
		"nothing is set":   {want: []string{"REPOSITORY", "NOMAD_API", "LEADER"}},
		"what cannot be":   {values: map[string]string{"REPOSITORY": "3", "FULL_EVERY": "-1h", "TIMEOUT": "-1s"}, want: []string{"REPOSITORY is 3", "FULL_EVERY", "TIMEOUT"}},
		"not a member":     {values: map[string]string{"REPOSITORY": "1", "NOMAD_API": nomad.URL, "LEADER": "someone"}, want: []string{`"someone"`}},
		"no leader to ask": {values: map[string]string{"REPOSITORY": "1", "NOMAD_API": nomad.URL, "LEADER": "patroni-3"}, want: []string{"patroni.patroni[3] does not run"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := program.Env{Args: test.args, Getenv: func(name string) string { return test.values[name] }, Stdout: io.Discard}
			err := program.RunTask(t.Context(), "backup", env, backup.Task)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one that says %s", err, want)
				}
			}
		})
	}
}
