package patroni

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// kind is what a role is for, in the words of CREATE ROLE.
type kind string

// The kinds. A service's session has the rights of its group only once it has said
// SET ROLE, so that whatever it prepares is the group's.
const (
	groupRole    kind = "inherit nologin"
	serviceLogin kind = "noinherit login"
	guestLogin   kind = "inherit login"
)

// role makes a role without any right but, perhaps, to log in.
func (d *declaration) role(ctx context.Context, name string, k kind) error {
	wanted := fmt.Sprintf(`select exists (select from pg_roles where rolname = %s and rolcanlogin = %t and rolinherit = %t
		and not rolsuper and not rolcreatedb and not rolcreaterole and not rolreplication and not rolbypassrls)`,
		literal(name), k != groupRole, k != serviceLogin)
	attributes := string(k) + " nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
	verb := "create"
	var exists bool
	err := d.conn.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", name).Scan(&exists)
	if err != nil {
		return fmt.Errorf("find role %s: %w", name, err)
	}
	if exists {
		verb = "alter"
	}
	return d.unless(ctx, wanted, verb+" role "+ident(name)+" "+attributes)
}

// limit bounds the connections that a login may have open; those that it has stay.
func (d *declaration) limit(ctx context.Context, login string, connections int) error {
	limited := fmt.Sprintf("select rolconnlimit = %d from pg_roles where rolname = %s", connections, literal(login))
	return d.unless(ctx, limited, fmt.Sprintf("alter role %s connection limit %d", ident(login), connections))
}

// superuser leaves the superuser no password, since there is no way in for who has one, and has all that it does logged.
func (d *declaration) superuser(ctx context.Context) error {
	const none = "select rolpassword is null from pg_authid where rolname = session_user"
	if err := d.unless(ctx, none, "alter role session_user password null"); err != nil {
		return err
	}
	const logged = `select exists (select from pg_db_role_setting
		where setrole = session_user::regrole and setdatabase = 0 and 'pgaudit.log=all' = any (setconfig))`
	return d.unless(ctx, logged, "alter role session_user set pgaudit.log = 'all'")
}

// password sets a login's password unless it is that already. What is sent is
// the verifier, so that the password itself never stands in a server log.
func (d *declaration) password(ctx context.Context, login, password string) error {
	var stored *string
	err := d.conn.QueryRow(ctx, "select rolpassword from pg_authid where rolname = $1", login).Scan(&stored)
	if err != nil {
		return fmt.Errorf("read the password of %s: %w", login, err)
	}
	if stored != nil && matches(*stored, password) {
		return nil
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return fmt.Errorf("make a salt: %w", err)
	}
	secret, err := verifier(password, salt, 4096)
	if err != nil {
		return err
	}
	if _, err := d.conn.Exec(ctx, "alter role "+ident(login)+" password "+literal(secret)); err != nil {
		return fmt.Errorf("set the password of %s: %w", login, err)
	}
	d.changes = append(d.changes, "set the password of "+login)
	return nil
}

// verifier is what PostgreSQL stores of a SCRAM-SHA-256 password (RFC 5803):
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
func verifier(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the verifier: %w", err)
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}

// matches reports whether a stored verifier is this password's.
func matches(stored, password string) bool {
	parts := strings.FieldsFunc(stored, func(r rune) bool { return r == '$' || r == ':' })
	if len(parts) != 5 || parts[0] != "SCRAM-SHA-256" {
		return false
	}
	iterations, errCount := strconv.Atoi(parts[1])
	salt, errSalt := base64.StdEncoding.DecodeString(parts[2])
	if errors.Join(errCount, errSalt) != nil || iterations < 1 {
		return false
	}
	again, err := verifier(password, salt, iterations)
	return err == nil && hmac.Equal([]byte(again), []byte(stored))
}

// unless runs change when the query says false.
func (d *declaration) unless(ctx context.Context, query, change string) error {
	var done bool
	if err := d.conn.QueryRow(ctx, query).Scan(&done); err != nil {
		return fmt.Errorf("before %q: %w", change, err)
	}
	if done {
		return nil
	}
	if _, err := d.conn.Exec(ctx, change); err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	d.changes = append(d.changes, change)
	return nil
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes text for SQL; statements of this kind take no parameters.
// standard_conforming_strings is on, so the quote alone needs doubling.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
