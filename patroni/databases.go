// Package patroni declares what the cluster holds: the databases, who owns them
// and who may log in.
package patroni

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Database is one service's database. Schema owns it and all that is in it: migrations
// act as Schema, nobody else. Role may read and write rows, and neither create, alter,
// drop nor truncate anything. Neither of the two can log in: Logins can, have no rights
// of their own, and become Role with SET ROLE. There are two of them so that passwords
// can be rotated: only the role that prepared a transaction may finish it, and both are
// Role then.
//
// Connections is how many each login may have open at one member: what the service's pools have at most while one instance is
// replaced, and some more for those that a dead instance left, which the server notices seconds later. Who breaks into one service
// so takes no other's. All of them together are within max_connections (jobs/connections_test.go).
type Database struct {
	Name        string
	Schema      string
	Role        string
	Logins      []string
	Connections int
}

// Databases are all there are. A Role is called <database>_owner since it once owned
// the tables too. Instances of an older version still say SET ROLE to that name while
// they are replaced, and transactions that they prepared have to be finished by the new
// ones, and the other way round: so the role stayed, and the tables went to another.
func Databases() []Database {
	declare := func(name string, connections int) Database {
		return Database{
			Name: name, Schema: name + "_schema", Role: name + "_owner", Logins: []string{name + "_a", name + "_b"}, Connections: connections,
		}
	}
	// The first two have pools for replicas, too.
	return []Database{declare("bookdb", 49), declare("orderdb", 49), declare("paymentdb", 36), declare("coordinatordb", 36)}
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
	if err := d.superuser(ctx); err != nil {
		return d.changes, fmt.Errorf("declare the superuser: %w", err)
	}
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
	for _, group := range []string{db.Schema, db.Role} {
		if err := d.role(ctx, group, groupRole); err != nil {
			return err
		}
	}
	// Services keep statements that are meant to fail out of the server's log.
	mayHush := fmt.Sprintf("select has_parameter_privilege(%s, 'log_min_messages', 'set')", literal(db.Role))
	if err := d.unless(ctx, mayHush, "grant set on parameter log_min_messages to "+ident(db.Role)); err != nil {
		return err
	}
	for _, login := range db.Logins {
		if err := d.role(ctx, login, serviceLogin); err != nil {
			return err
		}
		if err := d.limit(ctx, login, db.Connections); err != nil {
			return err
		}
		if err := d.password(ctx, login, passwords[login]); err != nil {
			return err
		}
		member := fmt.Sprintf("select pg_has_role(%s, %s, 'member')", literal(login), literal(db.Role))
		if err := d.unless(ctx, member, fmt.Sprintf("grant %s to %s", ident(db.Role), ident(login))); err != nil {
			return err
		}
	}
	exists := "select exists (select from pg_database where datname = " + literal(db.Name) + ")"
	create := fmt.Sprintf("create database %s owner %s", ident(db.Name), ident(db.Schema))
	if err := d.unless(ctx, exists, create); err != nil {
		return err
	}
	owned := fmt.Sprintf("select datdba = %s::regrole from pg_database where datname = %s", literal(db.Schema), literal(db.Name))
	if err := d.unless(ctx, owned, fmt.Sprintf("alter database %s owner to %s", ident(db.Name), ident(db.Schema))); err != nil {
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
	if err := d.handOver(ctx, db); err != nil {
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

// public gives the schema public to who owns what is in it, and lets the service find it.
func (d *declaration) public(ctx context.Context, db Database) error {
	found := fmt.Sprintf(`select has_schema_privilege(%s, 'public', 'usage') and nspowner = %s::regrole
		from pg_namespace where nspname = 'public'`, literal(db.Role), literal(db.Schema))
	give := fmt.Sprintf("alter schema public owner to %s; grant usage on schema public to %s", ident(db.Schema), ident(db.Role))
	if err := d.unless(ctx, found, give); err != nil {
		return err
	}
	const closed = `select not exists (select from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
		where nspname = 'public' and grantee = 0)`
	return d.unless(ctx, closed, "revoke all on schema public from public")
}
