// Package pg connects a service to PostgreSQL: a pool that finds the leader by
// itself whenever members move and one that spreads reads over replicas, the
// mapping of database errors to faults, the one function that owns begin and
// commit, and the migrations.
package pg

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/platform/config"
	"bookstore/services/platform/dial"
	"bookstore/services/platform/meshtls"
)

// Config is a database's address and login. The three files are read anew for every
// connection, so members, passwords and certificates may change while a service runs.
type Config struct {
	DSN             config.Secret `env:"DB_DSN,required"`
	MembersFile     string        `env:"DB_MEMBERS_FILE"`     // one host:port a line; replaces the DSN's host
	CredentialsFile string        `env:"DB_CREDENTIALS_FILE"` // one line user:password; replaces the DSN's
	CAFile          string        `env:"DB_CA_FILE"`          // PEM of the mesh authority; turns TLS on
	TLSService      string        `env:"DB_TLS_SERVICE" envDefault:"postgres"`
	MaxConns        int32         `env:"DB_MAX_CONNS" envDefault:"8"`  // a backend of the leader's each, about 3 MB
	ReadConns       int32         `env:"DB_READ_CONNS" envDefault:"0"` // reads at once at each replica; 0: all is read from the leader
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if _, err := pgx.ParseConfig(c.DSN.Reveal()); err != nil {
		// The parser's message may quote the connection string.
		errs = append(errs, errors.New("DB_DSN: not a PostgreSQL connection string"))
	}
	if c.MaxConns < 1 {
		errs = append(errs, errors.New("DB_MAX_CONNS: must be positive"))
	}
	if c.ReadConns < 0 {
		errs = append(errs, errors.New("DB_READ_CONNS: must not be negative"))
	}
	if c.CAFile != "" && c.TLSService == "" {
		errs = append(errs, errors.New("DB_TLS_SERVICE: required with DB_CA_FILE"))
	}
	return errors.Join(errs...)
}

// connectTimeout bounds a connection attempt at one member.
const connectTimeout = time.Second

// ConnConfig is what to connect with at this moment: the DSN with the current
// contents of the files. Only a member that takes writes is accepted.
func (c Config) ConnConfig() (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(c.DSN.Reveal())
	if err != nil {
		return nil, errors.New("DB_DSN: not a PostgreSQL connection string")
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.ValidateConnect = requireLeader
	cfg.DialFunc = dial.Dialer(connectTimeout).DialContext
	b := newBounds("", nil)
	b.far = true
	cfg.Tracer = b
	if err := c.refresh(cfg, ""); err != nil {
		return nil, err
	}
	return cfg, nil
}

// refresh writes the current members, credentials and authority into cfg.
// The member named first, if it is still one, is tried before the others.
func (c Config) refresh(cfg *pgx.ConnConfig, first string) error {
	if c.CredentialsFile != "" {
		if err := readCredentials(cfg, c.CredentialsFile); err != nil {
			return err
		}
	}
	if c.CAFile != "" {
		mesh, err := meshtls.Client(c.CAFile, c.TLSService)
		if err != nil {
			return err
		}
		secure(cfg, mesh)
	}
	if c.MembersFile == "" {
		return nil
	}
	members, err := readMembers(c.MembersFile)
	if err != nil {
		return err
	}
	setMembers(cfg, members, first)
	return nil
}

// secure allows no connection without the mesh's TLS: the parser's fallbacks
// to other modes of the same host go.
func secure(cfg *pgx.ConnConfig, mesh *tls.Config) {
	members := hosts(cfg)
	cfg.TLSConfig, cfg.Fallbacks = mesh, nil
	setMembers(cfg, members, "")
}

// hosts are the members that cfg names.
func hosts(cfg *pgx.ConnConfig) []member {
	members := []member{{cfg.Host, cfg.Port}}
	for _, f := range cfg.Fallbacks {
		if m := (member{f.Host, f.Port}); m != members[len(members)-1] {
			members = append(members, m)
		}
	}
	return members
}

type member struct {
	host string
	port uint16
}

func (m member) String() string { return net.JoinHostPort(m.host, strconv.Itoa(int(m.port))) }

// setMembers points cfg at the members, each in the TLS modes of the first host.
func setMembers(cfg *pgx.ConnConfig, members []member, first string) {
	for i, m := range members {
		if m.String() == first {
			members[0], members[i] = members[i], members[0]
		}
	}
	modes := []*tls.Config{cfg.TLSConfig}
	for _, f := range cfg.Fallbacks {
		if f.Host == cfg.Host && f.Port == cfg.Port {
			modes = append(modes, f.TLSConfig)
		}
	}
	all := make([]*pgconn.FallbackConfig, 0, len(members)*len(modes))
	for _, m := range members {
		for _, mode := range modes {
			all = append(all, &pgconn.FallbackConfig{Host: m.host, Port: m.port, TLSConfig: named(mode, m.host)})
		}
	}
	cfg.Host, cfg.Port, cfg.TLSConfig = all[0].Host, all[0].Port, all[0].TLSConfig
	cfg.Fallbacks = all[1:]
}

// named is a mode that, if it checks host names, checks this one.
func named(mode *tls.Config, host string) *tls.Config {
	if mode == nil || mode.ServerName == "" {
		return mode
	}
	mode = mode.Clone()
	mode.ServerName = host
	return mode
}

func parseMember(address string) (member, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return member{}, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return member{host, uint16(port)}, err
}

// readMembers reads one host:port a line; empty lines and # comments are skipped.
func readMembers(path string) ([]member, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the member list: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	var members []member
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m, err := parseMember(line)
		if err != nil {
			return nil, fmt.Errorf("read the member list: %w", err)
		}
		members = append(members, m)
	}
	if len(members) == 0 {
		return nil, errors.New("the member list is empty: no database member is registered")
	}
	return members, nil
}

func readCredentials(cfg *pgx.ConnConfig, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	if !ok || user == "" {
		return errors.New("read the credentials: want one line user:password")
	}
	cfg.User, cfg.Password = user, password
	return nil
}

// Members are the addresses that the members file lists, leader and replicas.
func (c Config) Members() ([]string, error) {
	members, err := readMembers(c.MembersFile)
	addresses := make([]string, len(members))
	for i, m := range members {
		addresses[i] = m.String()
	}
	return addresses, err
}

// MemberConfig is ConnConfig for one member, whether it leads or not.
func (c Config) MemberConfig(address string) (*pgx.ConnConfig, error) {
	m, err := parseMember(address)
	if err != nil {
		return nil, err
	}
	c.MembersFile = "" // only this member, whatever the list has
	cfg, err := c.ConnConfig()
	if err != nil {
		return nil, err
	}
	cfg.ValidateConnect = nil
	setMembers(cfg, []member{m}, "")
	return cfg, nil
}
