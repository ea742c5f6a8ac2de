package jobs_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/hashicorp/nomad/api"

	"bookstore/patroni"
	"bookstore/services/txn/twophase"
)

// others are the connections of a member's that no service has: three that PostgreSQL keeps for
// superusers, Patroni's own, migrations, an exporter, a warehouse's export, people with psql.
const others = 30

// instances is how many of a group there may be at once: while one is replaced, both are there.
func instances(g *api.TaskGroup) int {
	return *g.Count + *g.Update.MaxParallel
}

// backends is what one instance has open at the most at one member that leads: its pool, what it
// waited with for that member to lead and, where it reads from replicas too, what it read with
// before the member was promoted, and looks with.
func backends(t *testing.T, task *api.Task) int {
	t.Helper()
	number := func(name string) int {
		n, err := strconv.Atoi(task.Env[name])
		if err != nil {
			t.Errorf("task %s: %s is %q", task.Name, name, task.Env[name])
		}
		return n
	}
	pool := number("DB_MAX_CONNS") + 1
	if task.Env["DB_READ_CONNS"] != "" {
		pool += number("DB_READ_CONNS") + 1
	}
	return pool
}

// setting reads one of the numbers that all members agree on.
func setting(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("../patroni/patroni.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ +`+name+`: ([0-9]+)$`).FindAllSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("patroni.yml has %s %d times", name, len(found))
	}
	n, err := strconv.Atoi(string(found[0][1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A login of a service takes the service's pools, and all services with one login each, since the other's password is void, leave
// the connections of others free.
func TestEachLoginTakesItsPools(t *testing.T) {
	t.Parallel()
	sum := 0
	limits := map[string]int{}
	for _, d := range patroni.Databases() {
		sum += d.Connections
		limits[d.Name] = d.Connections
	}
	if most := setting(t, "max_connections"); sum+others > most {
		t.Errorf("logins take %d connections and others %d, but max_connections is %d", sum, others, most)
	}
	eachOfDatabases(t, func(vars string, g *api.TaskGroup, task *api.Task) {
		name := regexp.MustCompile(`^postgres:///([a-z]+)`).FindStringSubmatch(task.Env["DB_DSN"])
		if name == nil {
			t.Errorf("task %s: DB_DSN is %q", task.Name, task.Env["DB_DSN"])
		} else if need := instances(g) * backends(t, task); need == 0 || need > limits[name[1]] {
			t.Errorf("%s: task %s opens %d connections to %s, but its logins take %d", vars, task.Name, need, name[1], limits[name[1]])
		}
	})
}

// eachOfDatabases visits the tasks of services that have a pool to a database, with each file of variables.
func eachOfDatabases(t *testing.T, visit func(vars string, g *api.TaskGroup, task *api.Task)) {
	t.Helper()
	for _, p := range load(t) {
		if p.vars == "" || *p.full.Type != "service" {
			continue
		}
		for _, g := range p.full.TaskGroups {
			for _, task := range g.Tasks {
				if task.Env["DB_DSN"] != "" {
					visit(p.vars, g, task)
				}
			}
		}
	}
}

// A member takes the connections of every pool while all jobs are updated at the same time, and
// the prepared transactions of all orders that can be on their way: each coordinator works on so
// many, and each has a branch in two databases.
func TestTheMembersAcceptAllPools(t *testing.T) {
	t.Parallel()
	connections, prepared := setting(t, "max_connections"), setting(t, "max_prepared_transactions")
	inFlight := twophase.DefaultSettings("any").MaxInFlight
	needed, branches := map[string]int{}, map[string]int{}
	eachOfDatabases(t, func(vars string, g *api.TaskGroup, task *api.Task) {
		needed[vars] += instances(g) * backends(t, task)
		if task.Name == "coordinator" {
			branches[vars] += instances(g) * inFlight * 2
		}
	})
	for vars, n := range needed {
		t.Logf("%s: %d connections of services and %d others, %d prepared transactions", vars, n, others, branches[vars])
		if n == 0 || n+others > connections {
			t.Errorf("%s: %d connections of services and %d others, but max_connections is %d", vars, n, others, connections)
		}
		if branches[vars] == 0 || branches[vars] > prepared {
			t.Errorf("%s: %d prepared transactions, but max_prepared_transactions is %d", vars, branches[vars], prepared)
		}
	}
}
