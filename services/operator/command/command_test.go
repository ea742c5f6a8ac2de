package command_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/command"
	"bookstore/services/operator/operatortest"
)

// run runs the command and returns what it printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	cmd := command.New()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// use has the command talk to a test's own agents.
func use(t *testing.T, c *cluster.Cluster, consul string) {
	t.Helper()
	t.Setenv("NOMAD_ADDR", c.Nomad.Address())
	t.Setenv("CONSUL_HTTP_ADDR", consul)
}

func TestReadCommands(t *testing.T) {
	c := operatortest.Start(t)
	use(t, c, "127.0.0.1:1")

	for name, args := range map[string][]string{
		"status": {"status"}, "logs": {"logs", "books"},
	} {
		if out, err := run(t, args...); err == nil || out != "" || !strings.Contains(err.Error(), "'go tool task up'") {
			t.Errorf("%s of a shop that is down: %q, %v", name, out, err)
		}
	}
	if out, err := run(t, "token"); err == nil || out != "" || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("token without tokens: %q, %v", out, err)
	}
	tokens := nomad.VariableItems{"operator_token": "of operators", "test_token": "of tests"}
	if _, err := c.Change(t.Context(), "gateway", func(items nomad.VariableItems) { maps.Copy(items, tokens) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		args []string
		out  string
		fail bool
	}{
		{[]string{"token"}, "of operators\n", false},
		{[]string{"token", "test"}, "of tests\n", false},
		{[]string{"token", "nix"}, "", true},
	} {
		if out, err := run(t, want.args...); out != want.out || (err != nil) != want.fail {
			t.Errorf("%q: %q, %v", want.args, out, err)
		}
	}
}

// Whatever is asked of a cluster that is not there says what to do.
func TestNothingIsThere(t *testing.T) {
	t.Setenv("NOMAD_ADDR", "http://127.0.0.1:1")
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"logs", "books"}, {"token"}, {"db", "backup"}, {"db", "resume"}, {"db", "resume", "--list"},
		{"sagas"}, {"sagas", "show", "0a"}, {"sagas", "retry", "0a"}, {"warehouse", "run"}, {"drill", "leader-killed"},
		{"db", "status"}, {"db", "status", "--json"}, {"db", "switchover"}, {"db", "switchover", "patroni-1"}, {"db", "psql", "bookdb"},
		{"restart", "books"}, {"terraform", "prepare"}, {"terraform", "imports"},
	} {
		if out, err := run(t, args...); err == nil || out != "" || !strings.Contains(err.Error(), "'go tool task up'") {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
}

// Without a lab the commands about it say how there would be one; without images those that name them do.
func TestThereIsNoLab(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the commands about a lab become root")
	}
	none := t.TempDir()
	if err := os.WriteFile(filepath.Join(none, "docker"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", none+":"+os.Getenv("PATH"))
	for want, all := range map[string][][]string{
		"'go tool task lab:up'": {{"lab", "status"}, {"lab", "shop", "status"}},
		"'go tool task up'":     {{"images"}, {"terraform", "versions"}},
		"no name of a machine":  {{"lab", "fill", "../x"}, {"lab", "remove", "a/b"}},
	} {
		for _, args := range all {
			if out, err := run(t, args...); err == nil || out != "" || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q, %v", args, out, err)
			}
		}
	}
}

// A restore that is not told to when asks for it, before it becomes root or stops anything.
func TestRestoreToNoTime(t *testing.T) {
	if out, err := run(t, "db", "restore"); err == nil || out != "" || !strings.Contains(err.Error(), "--to '2026-01-31 12:00:00'") {
		t.Errorf("%q, %v", out, err)
	}
}

// What is asked for wrongly is said to be, before the command becomes root or changes anything.
func TestWrongArguments(t *testing.T) {
	t.Setenv("NOMAD_ADDR", "http://127.0.0.1:1")
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	for _, wrong := range []struct {
		args []string
		says string
	}{
		{[]string{"db", "psql"}, "bookdb"},
		{[]string{"db", "rotate", "books", "gateway"}, "coordinator"},
		{[]string{"sagas", "--state", "nix"}, "waiting_approval"},
		{[]string{"warehouse", "report", "best-sellers", "--out", "../x.csv"}, "in the folder where you are"},
		{[]string{"warehouse", "sql", "--out=/tmp/x.csv", "select 1"}, "in the folder where you are"},
		{[]string{"redis", "scale"}, "'go tool task redis:scale -- 8'"},
		{[]string{"redis", "scale", "7"}, "6, 8, 10, 12"},
		{[]string{"redis", "scale", "6", "8"}, "6, 8, 10, 12"},
	} {
		if out, err := run(t, wrong.args...); err == nil || out != "" || !strings.Contains(err.Error(), wrong.says) {
			t.Errorf("%q: %q, %v", wrong.args, out, err)
		}
	}
}

// A shell completes the names of commands and of what they take.
func TestCompletion(t *testing.T) {
	for _, ask := range []struct {
		args []string
		want string
	}{
		{[]string{"token", ""}, "operator :4"},
		{[]string{"token", ""}, "bench :4"},
		{[]string{"db", ""}, "switchover :4"},
		{[]string{"sagas", ""}, "retry :4"},
		{[]string{"db", "psql", ""}, "paymentdb :4"},
		{[]string{"db", "rotate", "books", ""}, "orders :4"},
		{[]string{"redis", "scale", ""}, "12 :4"},
	} {
		out, err := run(t, append([]string{"__complete"}, ask.args...)...)
		word, directive, _ := strings.Cut(ask.want, " ")
		if words := strings.Fields(out); err != nil || !slices.Contains(words, word) || !slices.Contains(words, directive) {
			t.Errorf("%q: %q, %v", ask.args, out, err)
		}
	}
}

// The images that this machine has are printed for programs, too.
func TestImages(t *testing.T) {
	out, err := run(t, "images", "--json")
	if err != nil {
		if !strings.Contains(err.Error(), "'go tool task up'") && !strings.Contains(err.Error(), "docker") {
			t.Errorf("%v", err) // a machine without Docker or images
		}
		return
	}
	var tags map[string]string
	if err := json.Unmarshal([]byte(out), &tags); err != nil || len(tags) == 0 {
		t.Errorf("%q, %v", out, err)
	}
}
