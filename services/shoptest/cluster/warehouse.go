package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Query reads rows from the published version, or another: flags come before the statement.
func Query(t *testing.T, into any, args ...string) {
	t.Helper()
	if text := Warehouse(t, append([]string{"sql", "--format", "json"}, args...)...); json.Unmarshal([]byte(text), into) != nil {
		t.Errorf("%q: %s", args, text)
	}
}

// Warehouse runs what the tasks of the warehouse run.
func Warehouse(t *testing.T, args ...string) string {
	t.Helper()
	out, err := TryWarehouse(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryWarehouse is Warehouse for runs that may fail.
func TryWarehouse(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	command := OperatorCommand(ctx, append([]string{"warehouse"}, args...)...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s%s", args, err, out, &stderr)
	}
	return string(out), err
}
