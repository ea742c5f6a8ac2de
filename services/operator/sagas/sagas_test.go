package sagas_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
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
	('0c000000-0000-0000-0000-000000000004', 'running', '[]', null, interval '-1 h', now()),
	('0b000000-0000-0000-0000-000000000003', 'completed', '[]', now(), interval '3 h', null)
) as sagas (id, state, steps, finished_at, age, wake_at)`

// fixture is a database with the sagas of insertSQL.
func fixture(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(t, txnpg.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), insertSQL); err != nil {
		t.Fatal(err)
	}
	return conn
}

// places are the sagas' states and steps.
func places(all []sagas.Saga) string {
	got := make([]string, len(all))
	for i, s := range all {
		got[i] = s.State + " at " + s.At()
	}
	return strings.Join(got, "; ")
}

func TestSagas(t *testing.T) {
	t.Parallel()
	conn := fixture(t)
	for state, want := range map[string]string{"": "waiting_approval at ; running at capture; running at ", "completed": "completed at ", "stuck": ""} {
		if all, err := sagas.List(t.Context(), conn, state); err != nil || places(all) != want {
			t.Errorf("in the state %q: %q, %v; want %q", state, places(all), err, want)
		}
	}
	s, err := sagas.Find(t.Context(), conn, "0B")
	if err != nil || s.State != "completed" || s.Definition != "checkout" || s.Begun.IsZero() {
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

// Sagas of before a restore that are not over are listed, until they may go on.
func TestHeld(t *testing.T) {
	t.Parallel()
	conn := fixture(t)
	require := func(want string) {
		t.Helper()
		if held, err := sagas.Held(t.Context(), conn); err != nil || places(held) != want {
			t.Errorf("%q are held, %v; want %q", places(held), err, want)
		}
	}
	require("")
	for range 2 { // of two restores
		if err := sagas.Hold(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		require("waiting_approval at ; running at capture")
	}
	if err := sagas.Release(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	require("")
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

func TestRetry(t *testing.T) {
	t.Parallel()
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.Method+" "+r.URL.Path != "POST /checkouts/1/retry" {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("it is not stuck"))
			return
		}
		_, _ = w.Write([]byte(`{"state": "running", "steps": []}`))
	}))
	t.Cleanup(shop.Close)
	for _, test := range []struct {
		saga        sagas.Saga
		state, says string
	}{
		{sagas.Saga{ID: "1", Definition: "checkout"}, "running", ""},
		{sagas.Saga{ID: "2", Definition: "checkout"}, "", "it is not stuck"},
		{sagas.Saga{ID: "1", Definition: "return"}, "", "this is a return"},
	} {
		state, err := sagas.Retry(t.Context(), shop.Client(), shop.URL, "secret", test.saga)
		if state != test.state || (err == nil) != (test.says == "") || (err != nil && !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s %s: %q, %v", test.saga.Definition, test.saga.ID, state, err)
		}
	}
}
