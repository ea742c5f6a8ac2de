package sagas_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/operator/sagas"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/txnpg"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const insertSQL = `
insert into sagas (id, definition, caller, request_hash, state, steps, data, deadline, wake_at, answer_status, answer_body,
	created_at, updated_at, finished_at)
select id::uuid, 'checkout', 'test', '', state, steps::jsonb, '{}', now(), wake_at, 202, '', now() - age, now(), finished_at
from (values
	('0a000000-0000-0000-0000-000000000001', 'running', '[{"name": "reserve", "state": "done", "attempts": 1},
		{"name": "capture", "state": "running", "attempts": 3, "error": {"code": "unavailable", "message": "no answer"}}]', null, interval '1 h', now()),
	('0a000000-0000-0000-0000-000000000002', 'waiting_approval', '[{"name": "reserve", "state": "done"}]', null, interval '2 h', now()),
	('0b000000-0000-0000-0000-000000000003', 'completed', '[]', now(), interval '3 h', null)
) as sagas (id, state, steps, finished_at, age, wake_at)`

func TestSagas(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(t, txnpg.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), insertSQL); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{"": "waiting_approval at ; running at capture", "completed": "completed at ", "stuck": ""} {
		all, err := sagas.List(t.Context(), conn, state)
		var got []string
		for _, s := range all {
			got = append(got, s.State+" at "+s.At())
		}
		if err != nil || strings.Join(got, "; ") != want {
			t.Errorf("in the state %q: %q, %v; want %q", state, got, err, want)
		}
	}
	s, err := sagas.Find(t.Context(), conn, "0B")
	if err != nil || s.State != "completed" {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = sagas.Find(t.Context(), conn, "0a000000-0000-0000-0000-000000000001")
	if err != nil || len(s.Steps) != 2 || s.Steps[1].Attempts != 3 || s.Steps[1].Error.String() != "unavailable: no answer" || s.Steps[0].Error.String() != "" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := sagas.Find(t.Context(), conn, "0a"); err == nil || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("two begin so: %v", err)
	}
	if _, err := sagas.Find(t.Context(), conn, "ff"); !errors.Is(err, sagas.ErrNone) {
		t.Errorf("none begins so: %v", err)
	}
}

// An operator may name each state that the engine has.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, state := range []saga.State{saga.Running, saga.WaitingApproval, saga.Compensating, saga.Stuck, saga.Completed, saga.Cancelled, saga.Failed} {
		if !slices.Contains(sagas.States, string(state)) {
			t.Errorf("%s is missing", state)
		}
	}
}
