package pg

import (
	"github.com/jackc/pgx/v5"
)

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
	c.MembersFile = "" // it is this member, whatever the list says
	cfg, err := c.ConnConfig()
	if err != nil {
		return nil, err
	}
	cfg.ValidateConnect = nil
	setMembers(cfg, []member{m}, "")
	return cfg, nil
}
