package patroni

import (
	"context"
	"fmt"
)

// Guest is a login that is no service's. It comes into every database and has
// the rights of some of PostgreSQL's own roles there, but owns nothing.
type Guest struct {
	Login     string
	Roles     []string
	Functions []string // that are closed to others, with schema and arguments
}

// Guests are all there are. Migrations and backups are the superuser's.
func Guests() []Guest {
	return []Guest{
		// Counters, not the rows that they count.
		{Login: "exporter", Roles: []string{"pg_monitor"}},
		// The cut: it reads all rows on a replica whose replay it holds meanwhile.
		{
			Login: "warehouse", Roles: []string{"pg_read_all_data"},
			Functions: []string{"pg_catalog.pg_wal_replay_pause()", "pg_catalog.pg_wal_replay_resume()", "public.wal_position()"},
		},
	}
}

// guest brings a login into being; what it may do in a database is let's.
func (d *declaration) guest(ctx context.Context, g Guest, password string) error {
	if err := d.role(ctx, g.Login, guestLogin); err != nil {
		return err
	}
	if err := d.password(ctx, g.Login, password); err != nil {
		return err
	}
	for _, role := range g.Roles {
		member := fmt.Sprintf("select pg_has_role(%s, %s, 'member')", literal(g.Login), literal(role))
		if err := d.unless(ctx, member, fmt.Sprintf("grant %s to %s", ident(role), ident(g.Login))); err != nil {
			return err
		}
	}
	return nil
}

// functions lets a guest call its functions in the database that d is in.
func (d *declaration) functions(ctx context.Context, g Guest) error {
	for _, f := range g.Functions {
		allowed := fmt.Sprintf("select has_function_privilege(%s, %s, 'execute')", literal(g.Login), literal(f))
		if err := d.unless(ctx, allowed, fmt.Sprintf("grant execute on function %s to %s", f, ident(g.Login))); err != nil {
			return err
		}
	}
	return nil
}
