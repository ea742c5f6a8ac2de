// Package migrate declares the databases and roles and brings every schema up to date. What the cluster holds is in
// package patroni; the services' migrations are given by the command.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"
	"github.com/jackc/pgx/v5"

	"bookstore/patroni"
	"bookstore/patroni/socket"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/wait"
)

// Settings come from the environment. The superuser logs in at the socket in a member's container alone, which NOMAD_API
// leads to; for a task it is `unix://` and the path of its own socket. Without it DB_DSN is a superuser's. LOGINS_FILE has
// one line `<login> <password>` for each login role.
type Settings struct {
	config.Log
	DB            pg.Config
	NomadAPI      string        `env:"NOMAD_API"`
	Token         config.Secret `env:"NOMAD_TOKEN"`
	LoginsFile    string        `env:"LOGINS_FILE,required"`
	LeaderTimeout time.Duration `env:"LEADER_TIMEOUT" envDefault:"120s"`
}

// Validate reports every problem at once.
func (s Settings) Validate() error { return errors.Join(s.Log.Validate(), s.DB.Validate()) }

// All makes the task that declares everything and applies the migrations of each database, by its name. Done again, it
// changes nothing.
func All(migrations map[string]fs.FS) func(context.Context, *slog.Logger, Settings) error {
	return func(ctx context.Context, log *slog.Logger, s Settings) error {
		passwords, err := readLogins(s.LoginsFile)
		if err != nil {
			return err
		}
		if err := awaitLeader(ctx, s, log); err != nil {
			return err
		}
		changes, err := declare(ctx, s, passwords)
		for _, change := range changes {
			log.Info("declared", "change", change)
		}
		if err != nil {
			return err
		}
		for _, database := range patroni.Databases() {
			applied, err := migrate(ctx, s, database, migrations[database.Name])
			if err != nil {
				return err
			}
			log.Info("schema is up to date", "database", database.Name, "applied", applied)
		}
		return nil
	}
}

// declareTimeout bounds what makes databases and roles: a few short statements.
const declareTimeout = time.Minute

func declare(ctx context.Context, s Settings, passwords map[string]string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()
	return patroni.Declare(ctx, s.connect, patroni.Databases(), patroni.Guests(), passwords)
}

// config is what a superuser connects with to the named database on the leader.
func (s Settings) config(ctx context.Context, database string) (*pgx.ConnConfig, error) {
	cfg, err := s.DB.ConnConfig()
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	cfg.RuntimeParams["application_name"] = "migrate"
	if s.NomadAPI == "" {
		return cfg, nil
	}
	client, err := nomad.NewClient(&nomad.Config{Address: s.NomadAPI, SecretID: s.Token.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("reach Nomad: %w", err)
	}
	members, err := socket.Members(ctx, client)
	if err != nil {
		return nil, err
	}
	socket.Through(cfg, client, members...)
	return cfg, nil
}

func (s Settings) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := s.config(ctx, database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// migrate applies a database's migrations as the role to whom everything that they
// create then belongs.
func migrate(ctx context.Context, s Settings, database patroni.Database, migrations fs.FS) (applied int, err error) {
	if migrations == nil {
		return 0, fmt.Errorf("database %s has no migrations", database.Name)
	}
	cfg, err := s.config(ctx, database.Name)
	if err != nil {
		return 0, err
	}
	cfg.RuntimeParams["role"] = database.Schema
	// A migration that waits for a lock makes everyone after it wait too.
	cfg.RuntimeParams["lock_timeout"] = "5s"
	applied, err = pg.Migrate(ctx, cfg, migrations)
	if err != nil {
		return applied, fmt.Errorf("%s: %w", database.Name, err)
	}
	return applied, nil
}

// awaitLeader returns once some member takes writes and its Settings are fit
// for two-phase commits. A new cluster takes half a minute to get there.
func awaitLeader(ctx context.Context, s Settings, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, s.LeaderTimeout)
	defer cancel()
	tries, unfit := 0, error(nil)
	err := wait.Until(ctx, 500*time.Millisecond, func(ctx context.Context) error {
		conn, err := s.connect(ctx, "postgres")
		if err == nil {
			unfit = errors.Join(checkServer(ctx, conn), conn.Close(context.WithoutCancel(ctx)))
			return nil
		}
		if tries%10 == 0 {
			log.Info("waiting for a database member that takes writes", "error", firstLine(err))
		}
		tries++
		return err
	})
	if err != nil {
		return fmt.Errorf("no database member took writes within %s: %w", s.LeaderTimeout, err)
	}
	return unfit
}

// checkServer refuses a server on which the shop's promises would not hold.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var prepared int
	var synchronous string
	err := conn.QueryRow(ctx, `select current_setting('max_prepared_transactions')::int, current_setting('synchronous_commit')`).
		Scan(&prepared, &synchronous)
	if err != nil {
		return fmt.Errorf("read the server's Settings: %w", err)
	}
	var errs []error
	if prepared == 0 {
		errs = append(errs, errors.New("max_prepared_transactions is 0, two-phase commits are impossible: "+
			"set it in Patroni's dynamic configuration (patronictl edit-config), not in a member's own"))
	}
	if synchronous == "off" || synchronous == "local" {
		errs = append(errs, fmt.Errorf("synchronous_commit is %s, a failover would lose acknowledged orders: set it to on", synchronous))
	}
	return errors.Join(errs...)
}

// readLogins reads lines `<login> <password>`.
func readLogins(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the logins: %w", err)
	}
	logins := map[string]string{}
	for n, line := range strings.Split(string(text), "\n") {
		switch fields := strings.Fields(line); len(fields) {
		case 0:
		case 2:
			logins[fields[0]] = fields[1]
		default:
			// The line itself is a secret.
			return nil, fmt.Errorf("read the logins: line %d is not `<login> <password>`", n+1)
		}
	}
	return logins, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
