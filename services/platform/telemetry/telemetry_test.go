package telemetry_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"bookstore/services/platform/requestinfo"
	"bookstore/services/platform/telemetry"
)

func TestLinesCarryTheRequest(t *testing.T) {
	var out strings.Builder
	log := telemetry.NewLogger(&out, "info", "things", "a1")
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
