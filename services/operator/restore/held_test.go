package restore

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/txnpg"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const sagasSQL = `
insert into sagas (id, definition, caller, request_hash, state, steps, data, deadline, wake_at, answer_status, answer_body,
	created_at, updated_at, finished_at)
select id::uuid, 'checkout', 'test', '', state, steps::jsonb, '{}', now(), wake_at, 202, '', now() - age, now(), finished_at
from (values
	('00000000-0000-0000-0000-000000000001', 'running', '[{"name": "reserve", "state": "done"}, {"name": "capture", "state": "running"}]',
		now(), null, interval '2 h'),
	('00000000-0000-0000-0000-000000000002', 'waiting_approval', '[{"name": "reserve", "state": "done"}]', now(), null, interval '1 h'),
	('00000000-0000-0000-0000-000000000003', 'completed', '[]', null, now(), interval '3 h'),
	('00000000-0000-0000-0000-000000000004', 'running', '[]', now(), null, interval '-1 h')
) as sagas (id, state, steps, wake_at, finished_at, age)`

// Sagas of before the restore that are not over are listed, until they may go on.
func TestHeldSagas(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(t, txnpg.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), sagasSQL); err != nil {
		t.Fatal(err)
	}
	requireHeld(t, conn)
	for range 2 { // of two restores
		if err := Hold(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		requireHeld(t, conn, "running at capture", "waiting_approval at ")
	}
	if err := Release(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	requireHeld(t, conn)
}

func requireHeld(t *testing.T, conn *pgx.Conn, want ...string) {
	t.Helper()
	held, err := Held(t.Context(), conn)
	if err != nil || len(held) != len(want) {
		t.Fatalf("%v are held, %v, want %q", held, err, want)
	}
	for i, saga := range held {
		if is := saga.State + " at " + saga.Step; is != want[i] || saga.Definition != "checkout" || saga.Begun.IsZero() {
			t.Errorf("%+v is held, want it %s", saga, want[i])
		}
	}
}
