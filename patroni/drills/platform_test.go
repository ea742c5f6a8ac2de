//go:build drill

package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
)

// base is the shop's door: drills are for this machine alone.
const base = "http://127.0.0.1:8080"

// platform is what the drills know of the machine.
type platform struct {
	nomad  *nomad.Client
	consul *consul.Client
	http   *http.Client

	superuser, rest string // passwords
	token, operator string

	visitor *customer
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{http: &http.Client{Timeout: 3 * time.Second}}
	var err error
	if p.nomad, err = nomad.NewClient(&nomad.Config{Address: "http://127.0.0.1:4646"}); err != nil {
		t.Fatal(err)
	}
	if p.consul, err = consul.NewClient(&consul.Config{Address: "http://127.0.0.1:8500"}); err != nil {
		t.Fatal(err)
	}
	database, _, err := p.nomad.Variables().GetVariableItems("nomad/jobs/patroni", nil)
	if err != nil {
		t.Fatalf("read the passwords of patroni (is the shop up?): %v", err)
	}
	front, _, err := p.nomad.Variables().GetVariableItems("nomad/jobs/gateway", nil)
	if err != nil {
		t.Fatalf("read the tokens: %v", err)
	}
	p.superuser, p.rest = database["superuser_password"], database["rest_password"]
	p.token, p.operator = front["test_token"], front["operator_token"]
	p.visitor = newCustomer(p)
	return p
}

// member is one of PostgreSQL's, as Patroni sees it.
type member struct {
	Name, Role, State string
	Host              string
	Port, Timeline    int
	APIURL            string `json:"api_url"`

	alloc string // of Nomad's
}

// container is the name of the member's own; others of its allocation stand beside it.
func (m member) container() string { return "patroni-" + m.alloc }

// members asks the first member that answers for all.
func (p *platform) members(ctx context.Context) ([]member, error) {
	entries, _, err := p.consul.Health().Service("patroni-rest", "", false, (&consul.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	allocs, err := p.allocations(ctx)
	if err != nil {
		return nil, err
	}
	last := errors.New("no member is in Consul")
	for _, e := range entries {
		var cluster struct{ Members []member }
		last = p.get(ctx, "http://"+net.JoinHostPort(e.Service.Address, strconv.Itoa(e.Service.Port))+"/cluster", &cluster)
		if last != nil {
			continue
		}
		for i := range cluster.Members {
			cluster.Members[i].alloc = allocs[cluster.Members[i].Name]
		}
		return cluster.Members, nil
	}
	return nil, last
}

// allocations are the members' ids in Nomad, by their names.
func (p *platform) allocations(ctx context.Context) (map[string]string, error) {
	list, _, err := p.nomad.Jobs().Allocations("patroni", false, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, a := range list {
		_, text, _ := strings.Cut(a.Name, "[") // patroni.patroni[3]
		index, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
		if err == nil && a.ClientStatus == nomad.AllocClientStatusRunning {
			ids[fmt.Sprintf("patroni-%d", index)] = a.ID
		}
	}
	return ids, nil
}

// get decodes what an address answers; another status than 200 is an error.
func (p *platform) get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
