package patroni

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rows is what a service may do with its tables.
const rows = "select, insert, update, delete"

// handOver gives all that is in a database to Schema, and leaves Role the rows: in a
// database of before there were two roles while the services work on it, and in a new one
// before it has any table. What a migration makes later gets the same rights.
func (d *declaration) handOver(ctx context.Context, db Database) error {
	later := fmt.Sprintf(`select exists (select from pg_default_acl, aclexplode(defaclacl)
		where defaclrole = %s::regrole and defaclobjtype = 'r' and grantee = %s::regrole)`, literal(db.Schema), literal(db.Role))
	grant := fmt.Sprintf("alter default privileges for role %s in schema public grant %s on tables to %s",
		ident(db.Schema), rows, ident(db.Role))
	if err := d.unless(ctx, later, grant); err != nil {
		return err
	}
	rest, err := d.conn.Query(ctx, `select c.oid::regclass::text from pg_class c
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and c.relowner = $1::text::regrole
		order by 1`, db.Role)
	if err != nil {
		return fmt.Errorf("list what %s owns: %w", db.Role, err)
	}
	tables, err := pgx.CollectRows(rest, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list what %s owns: %w", db.Role, err)
	}
	for _, table := range tables {
		if err := d.handOverTable(ctx, db, table); err != nil {
			return err
		}
	}
	// Functions, types, extensions.
	none := fmt.Sprintf(`select not exists (select from pg_shdepend, pg_database
		where dbid = pg_database.oid and datname = current_database() and refobjid = %s::regrole and deptype = 'o')`, literal(db.Role))
	return d.unless(ctx, none, fmt.Sprintf("reassign owned by %s to %s", ident(db.Role), ident(db.Schema)))
}

// A table changes hands while it is used: whoever comes meanwhile waits for no longer than
// stepAside, and so gets no error of the lock_timeout of its own (500 ms).
const (
	stepAside = 200 * time.Millisecond
	pause     = 300 * time.Millisecond
	attempts  = 100
)

// handOverTable changes a table's owner and grants its rows in one transaction, so that no
// statement finds it without either.
func (d *declaration) handOverTable(ctx context.Context, db Database, table string) error {
	change := fmt.Sprintf("alter table %s owner to %s; grant %s on %s to %s",
		table, ident(db.Schema), rows, table, ident(db.Role))
	statements := fmt.Sprintf("begin; set local lock_timeout = %d; %s; commit", stepAside.Milliseconds(), change)
	for attempt := 1; ; attempt++ {
		_, err := d.conn.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			d.changes = append(d.changes, change)
			return nil
		}
		if _, after := d.conn.Exec(ctx, "rollback"); after != nil {
			return fmt.Errorf("%s: %w", change, errors.Join(err, after))
		}
		const lockNotAvailable = "55P03"
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != lockNotAvailable || attempt == attempts {
			return fmt.Errorf("%s: %w", change, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", change, ctx.Err())
		}
	}
}
