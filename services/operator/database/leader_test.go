package database

import (
	"strings"
	"testing"

	"bookstore/services/operator/operatortest"
)

// Where no member runs an operator is told what to do. What they answer is tried on the running shop (services/e2e).
func TestWithoutMembers(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	if _, err := Ask[int](t.Context(), c, "postgres", "select 1"); err == nil || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("on the leader: %v", err)
	}
	if _, err := askEach[int](t.Context(), c, "select 1"); err == nil || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("on each member: %v", err)
	}
}
