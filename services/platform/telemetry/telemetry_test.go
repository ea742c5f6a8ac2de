package telemetry_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"bookstore/services/platform/requestinfo"
	"bookstore/services/platform/telemetry"
)

func TestLinesCarryTheRequest(t *testing.T) {
	var out strings.Builder
	log, _ := telemetry.NewLogger(&out, "info", "things", "a1")
	ctx := requestinfo.With(context.Background(), requestinfo.Info{RequestID: "r-1", Caller: "token:test"})
	log.With("extra", 1).InfoContext(ctx, "hello")
	log.DebugContext(ctx, "not shown")

	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatalf("not one JSON line: %v in %q", err, out.String())
	}
	for name, want := range map[string]string{"service": "things", "instance": "a1", "request_id": "r-1", "caller": "token:test", "msg": "hello"} {
		if line[name] != want {
			t.Errorf("%s is %v, want %s", name, line[name], want)
		}
	}
}

// What a request is about is known only while it is served, and stands in the lines after that.
func TestLinesCarryWhatTheRequestIsAbout(t *testing.T) {
	var out strings.Builder
	log, _ := telemetry.NewLogger(&out, "info", "things", "a1")
	ctx := requestinfo.With(context.Background(), requestinfo.Info{RequestID: "r-1"})
	log.InfoContext(ctx, "before")
	inner, cancel := context.WithCancel(ctx)
	requestinfo.SetGID(inner, "g-1")
	requestinfo.SetSaga(inner, "s-1")
	cancel()
	log.InfoContext(ctx, "after")
	log.InfoContext(ctx, "another's", "gid", "g-2")
	requestinfo.SetGID(context.Background(), "g-3") // belongs to no request

	for i, want := range []map[string]any{{"gid": nil, "saga": nil}, {"gid": "g-1", "saga": "s-1"}, {"gid": "g-2", "saga": "s-1"}} {
		text := strings.Split(out.String(), "\n")[i]
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["gid"] != want["gid"] || line["saga"] != want["saga"] || strings.Count(text, `"gid"`) > 1 {
			t.Errorf("%s, want %v", text, want)
		}
	}
}

// The signals of FollowSignals change the level, and the level goes back to what was configured.
func TestSignalsChangeTheLevel(t *testing.T) {
	log, level := telemetry.NewLogger(io.Discard, "warn", "things", "a1")
	telemetry.FollowSignals(t.Context(), log, level)
	for _, change := range []struct {
		signal syscall.Signal
		want   slog.Level
	}{{syscall.SIGUSR1, slog.LevelDebug}, {syscall.SIGUSR1, slog.LevelDebug}, {syscall.SIGUSR2, slog.LevelWarn}} {
		if err := syscall.Kill(syscall.Getpid(), change.signal); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); level.Level() != change.want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%v after %v, want %v", level.Level(), change.signal, change.want)
			}
		}
	}
}

func TestRegistryTellsTheBuild(t *testing.T) {
	families, err := telemetry.NewRegistry("things", "1.2.3").Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"service_info", "go_goroutines", "process_open_fds"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
}
