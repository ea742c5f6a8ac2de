// Package patroni declares what the cluster holds: the databases, who owns them
// and who may log in.
package patroni

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Database is one service's database. Owner has all rights in it and cannot log
// in; Logins can log in, have no rights of their own, and become Owner with
// SET ROLE. There are two of them so that passwords can be rotated: only the
// role that prepared a transaction may finish it, and both are Owner then.
type Database struct {
	Name   string
	Owner  string
	Logins []string
}

// Databases are all there are.
func Databases() []Database {
	names := []string{"bookdb", "orderdb", "paymentdb", "coordinatordb"}
	all := make([]Database, len(names))
	for i, name := range names {
		all[i] = Database{Name: name, Owner: name + "_owner", Logins: []string{name + "_a", name + "_b"}}
	}
	return all
}

// Logins are all that can log in.
func Logins(databases []Database, guests []Guest) (all []string) {
	for _, d := range databases {
		all = append(all, d.Logins...)
	}
	for _, g := range guests {
		all = append(all, g.Login)
	}
	return all
}

// Connect opens a superuser's connection to the named database.
type Connect func(ctx context.Context, database string) (*pgx.Conn, error)

// declareLock makes several callers take turns.
const declareLock = 7_236_458_101

// Declare brings roles and databases into being as declared and returns what
// it changed, in words. Run again it changes nothing. passwords holds one for
// every login.
func Declare(ctx context.Context, connect Connect, databases []Database, guests []Guest, passwords map[string]string) (changes []string, err error) {
	for _, login := range Logins(databases, guests) {
		if passwords[login] == "" {
			return nil, fmt.Errorf("declare databases: no password for login %s", login)
		}
	}
	main, err := connect(ctx, "postgres")
	if err != nil {
		return nil, fmt.Errorf("declare databases: %w", err)
	}
	defer main.Close(context.WithoutCancel(ctx)) //nolint:errcheck // ends the lock too
	if _, err := main.Exec(ctx, "select pg_advisory_lock($1)", int64(declareLock)); err != nil {
		return nil, fmt.Errorf("declare databases: %w", err)
	}
	d := &declaration{conn: main, guests: guests}
	for _, g := range guests {
		if err := d.guest(ctx, g, passwords[g.Login]); err != nil {
			return d.changes, fmt.Errorf("declare %s: %w", g.Login, err)
		}
	}
	for _, database := range databases {
		if err := d.database(ctx, connect, database, passwords); err != nil {
			return d.changes, fmt.Errorf("declare %s: %w", database.Name, err)
		}
	}
	return d.changes, nil
}

// declaration is one run of Declare.
type declaration struct {
	conn    *pgx.Conn
	guests  []Guest
	changes []string
}

func (d *declaration) database(ctx context.Context, connect Connect, db Database, passwords map[string]string) error {
	if err := d.role(ctx, db.Owner, owner); err != nil {
		return err
	}
	// Services keep statements that are meant to fail out of the server's log.
	mayHush := fmt.Sprintf("select has_parameter_privilege(%s, 'log_min_messages', 'set')", literal(db.Owner))
	if err := d.unless(ctx, mayHush, "grant set on parameter log_min_messages to "+ident(db.Owner)); err != nil {
		return err
	}
	for _, login := range db.Logins {
		if err := d.role(ctx, login, serviceLogin); err != nil {
			return err
		}
		if err := d.password(ctx, login, passwords[login]); err != nil {
			return err
		}
		member := fmt.Sprintf("select pg_has_role(%s, %s, 'member')", literal(login), literal(db.Owner))
		if err := d.unless(ctx, member, fmt.Sprintf("grant %s to %s", ident(db.Owner), ident(login))); err != nil {
			return err
		}
	}
	exists := "select exists (select from pg_database where datname = " + literal(db.Name) + ")"
	create := fmt.Sprintf("create database %s owner %s", ident(db.Name), ident(db.Owner))
	if err := d.unless(ctx, exists, create); err != nil {
		return err
	}
	if err := d.access(ctx, db); err != nil {
		return err
	}
	inside, err := connect(ctx, db.Name)
	if err != nil {
		return err
	}
	defer inside.Close(context.WithoutCancel(ctx)) //nolint:errcheck // every statement is done
	schema := &declaration{conn: inside, guests: d.guests}
	err = schema.inside(ctx, db)
	d.changes = append(d.changes, schema.changes...)
	return err
}

// inside declares what stands in the database itself.
func (d *declaration) inside(ctx context.Context, db Database) error {
	if err := d.public(ctx, db); err != nil {
		return err
	}
	if err := d.position(ctx, db); err != nil {
		return err
	}
	for _, g := range d.guests {
		if err := d.functions(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// access lets the logins and the guests into the database, and nobody else.
func (d *declaration) access(ctx context.Context, db Database) error {
	closed := fmt.Sprintf(`select not exists (select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
		where datname = %s and grantee = 0)`, literal(db.Name))
	if err := d.unless(ctx, closed, "revoke all on database "+ident(db.Name)+" from public"); err != nil {
		return err
	}
	for _, login := range Logins([]Database{db}, d.guests) {
		granted := fmt.Sprintf(`select exists (select from pg_database, aclexplode(datacl)
			where datname = %s and grantee = %s::regrole and privilege_type = 'CONNECT')`, literal(db.Name), literal(login))
		if err := d.unless(ctx, granted, fmt.Sprintf("grant connect on database %s to %s", ident(db.Name), ident(login))); err != nil {
			return err
		}
	}
	return nil
}

// public hands the schema public to the owner alone.
func (d *declaration) public(ctx context.Context, db Database) error {
	owned := "select nspowner = " + literal(db.Owner) + "::regrole from pg_namespace where nspname = 'public'"
	if err := d.unless(ctx, owned, "alter schema public owner to "+ident(db.Owner)); err != nil {
		return err
	}
	const closed = `select not exists (select from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
		where nspname = 'public' and grantee = 0)`
	return d.unless(ctx, closed, "revoke all on schema public from public")
}
