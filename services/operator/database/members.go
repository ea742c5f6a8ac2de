package database

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"bookstore/patroni/rest"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Member is a member of the database as Patroni describes it.
type Member struct {
	Name     string `json:"name"`
	Role     string `json:"role"` // leader, quorum_standby, sync_standby, replica: a commit waits for the standbys
	State    string `json:"state"`
	Timeline *int64 `json:"timeline"`  // nil where it is not known
	Lag      *int64 `json:"lag_bytes"` // what is not replayed yet; nil of a leader, and where it is not known
	Address  string `json:"address"`
	api      string // where it is told to switch over
}

// Leads tells whether a member is the leader, be it ready or not.
func (m Member) Leads() bool { return m.Role == "leader" }

// mayLead tells whether a member has everything: only those that a commit waits for do.
func (m Member) mayLead() bool {
	return strings.HasSuffix(m.Role, "_standby") && m.State == "streaming"
}

// Led tells whether one of the members takes writes.
func Led(members []Member) bool {
	return slices.ContainsFunc(members, func(m Member) bool { return m.Leads() && m.State == "running" })
}

// Show prints members as a table.
func Show(out console.Console, members []Member) {
	rows := [][]any{{"MEMBER", "ROLE", "STATE", "TIMELINE", "LAG", "ADDRESS"}}
	for _, m := range members {
		timeline, lag := "-", "unknown"
		if m.Timeline != nil {
			timeline = strconv.FormatInt(*m.Timeline, 10)
		}
		switch {
		case m.Leads():
			lag = "-"
		case m.Lag != nil:
			lag = strconv.FormatInt(*m.Lag, 10) + " bytes"
		}
		rows = append(rows, []any{m.Name, strings.Replace(m.Role, "_", " ", 1), m.State, timeline, lag, m.Address})
	}
	out.Table(rows...)
}

// Members are what the members know of each other, by name, asked of the first that answers.
func Members(ctx context.Context, c *cluster.Cluster) ([]Member, error) {
	instances, err := c.Instances(ctx, "patroni-rest")
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", cluster.ErrDown, err)
	}
	for _, instance := range instances {
		address := net.JoinHostPort(instance.Service.Address, strconv.Itoa(instance.Service.Port))
		if members, err := fetchMembers(ctx, c, address); err == nil {
			return members, nil
		}
	}
	return nil, errors.New("no member of the database answers: 'go tool task up' brings the shop up, 'go tool task logs -- patroni' says what is wrong")
}

// fetchMembers asks one member, for 3 s at most.
func fetchMembers(ctx context.Context, c *cluster.Cluster, address string) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	status, text, err := call(ctx, rest.Client(rest.FromConsul(c.Consul)), http.MethodGet, "https://"+address+"/cluster", nil, "")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("status %d: %w", status, err)
	}
	return parse(text)
}

// parse reads Patroni's answer. Where it does not know a number it writes a word, or nothing.
func parse(text []byte) ([]Member, error) {
	var answer struct {
		Members []struct {
			Name, Role, State, Host string
			Port                    int
			API                     string `json:"api_url"`
			Timeline                any
			Lag                     any `json:"replay_lag"`
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	members := make([]Member, 0, len(answer.Members))
	for _, m := range answer.Members {
		members = append(members, Member{
			Name: m.Name, Role: m.Role, State: m.State, Timeline: number(m.Timeline), Lag: number(m.Lag),
			Address: net.JoinHostPort(m.Host, strconv.Itoa(m.Port)), api: m.API,
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return members, nil
}

func number(value any) *int64 {
	f, ok := value.(float64)
	if !ok {
		return nil
	}
	n := int64(f)
	return &n
}

// Switchover has another member lead: the one named or, without a name, any that has everything. Writes wait for a
// second or two meanwhile.
func Switchover(ctx context.Context, c *cluster.Cluster, out console.Console, candidate string) error {
	members, err := Members(ctx, c)
	if err != nil {
		return err
	}
	leader, candidate, err := choose(members, candidate)
	if err != nil {
		Show(out, members)
		return err
	}
	password, err := c.Item(ctx, "patroni", "rest_password")
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"leader": leader.Name, "candidate": candidate})
	if err != nil {
		return err
	}
	out.Linef("from %s to %s …", leader.Name, candidate)
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	status, text, err := call(ctx, rest.Client(rest.FromConsul(c.Consul)), http.MethodPost, strings.TrimSuffix(leader.api, "/patroni")+"/switchover", body, password)
	if err != nil {
		return fmt.Errorf("the leader did not answer: %w; 'go tool task db:status' shows who leads", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the members refused: %s; 'go tool task db:status' shows them", text)
	}
	out.Linef("%s", text)
	if members, err = Members(ctx, c); err == nil {
		Show(out, members)
	}
	return err
}

// choose returns the leader, and the member that is to follow it.
func choose(members []Member, wanted string) (leader Member, candidate string, err error) {
	var ready []string
	for _, m := range members {
		switch {
		case m.Leads():
			leader = m
		case m.mayLead():
			ready = append(ready, m.Name)
		}
	}
	switch {
	case leader.Name == "":
		err = errors.New("no member leads: there is nothing to hand over; 'go tool task logs -- patroni' says what is wrong")
	case len(ready) == 0:
		err = errors.New("no other member has everything: wait until 'go tool task db:status' shows a standby that streams")
	case wanted == "":
		candidate = ready[rand.IntN(len(ready))]
	case wanted == leader.Name:
		err = fmt.Errorf("%s leads already", wanted)
	case !slices.Contains(ready, wanted):
		err = fmt.Errorf("%q cannot lead now; these can: %s", wanted, strings.Join(ready, ", "))
	default:
		candidate = wanted
	}
	return leader, candidate, err
}

// call sends a request, with a password as Patroni's user that may change the cluster.
func call(ctx context.Context, client *http.Client, method, url string, body []byte, password string) (status int, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if password != "" {
		request.Header.Set("Content-Type", "application/json")
		request.SetBasicAuth("patroni", password)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	text, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, bytes.TrimSpace(text), err
}
