package patroni

import (
	"context"
	"fmt"
)

// positionBody tells how far a member is. A leader's log counts as far as it is
// on its disk, since what was acknowledged is; a replica's as far as it can be
// read, and with the timeline it follows: null while no log reaches it.
const positionBody = `
begin
	leads := not pg_is_in_recovery();
	select system_identifier into system from pg_control_system();
	if leads then
		lsn := pg_current_wal_flush_lsn() - '0/0';
		timeline := ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int;
	else
		lsn := pg_last_wal_replay_lsn() - '0/0';
		select received_tli into timeline from pg_stat_wal_receiver where status = 'streaming';
	end if;
end`

// position declares public.wal_position(), which services call on members
// before they read from them. It runs with its maker's rights: whose log a
// replica follows is not shown to everybody.
func (d *declaration) position(ctx context.Context, db Database) error {
	made := "select exists (select from pg_proc where proname = 'wal_position' and prosecdef and prosrc = " + literal(positionBody) + ")"
	create := `create or replace function public.wal_position(out system bigint, out timeline int, out lsn bigint, out leads bool)
		language plpgsql security definer set search_path = pg_catalog as ` + literal(positionBody)
	if err := d.unless(ctx, made, create); err != nil {
		return err
	}
	const closed = `select not exists (select from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
		where proname = 'wal_position' and grantee = 0)`
	if err := d.unless(ctx, closed, "revoke all on function public.wal_position() from public"); err != nil {
		return err
	}
	allowed := fmt.Sprintf("select has_function_privilege(%s, 'public.wal_position()', 'execute')", literal(db.Role))
	return d.unless(ctx, allowed, "grant execute on function public.wal_position() to "+ident(db.Role))
}
