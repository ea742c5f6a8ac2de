package database

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/jobs"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/dial"
)

// Known says whether each of the services has a database.
func Known(services []string) error {
	for _, service := range services {
		if provide.Databases[service] == "" {
			return fmt.Errorf("%q has no database: name %s", service, strings.Join(provide.Services, ", "))
		}
	}
	return nil
}

// Rotate gives services new passwords while they serve. Each has two logins, of which it uses one: the other gets a new
// password and takes over, and when nobody is in with the first any more, that gets a new password too. Interrupted, it
// is simply run again.
func Rotate(ctx context.Context, c *cluster.Cluster, out console.Console, services []string) error {
	r := rotation{c: c, out: out, services: services, grace: 15 * time.Second}
	r.declare = func(ctx context.Context) error { return jobs.Again(ctx, c, out, "migrate") }
	r.connections = func(ctx context.Context, logins []string) (int64, error) { return connections(ctx, c, logins) }
	return r.run(ctx)
}

// rotation is one run of Rotate.
type rotation struct {
	c        *cluster.Cluster
	out      console.Console
	services []string
	declare  func(context.Context) error // gives every login in the database the password of migrate's variable
	// connections counts those that logins have, on all members.
	connections func(ctx context.Context, logins []string) (int64, error)
	grace       time.Duration // how long a service may still connect with what it was given before
	used        []string      // the login that each service uses at first
	idle        []string      // the other one of each
}

func (r *rotation) run(ctx context.Context) error {
	r.out.Stagef("new passwords for %s", strings.Join(r.services, ", "))
	for _, service := range r.services {
		login, err := r.c.Item(ctx, service, "db_user")
		if err != nil {
			return err
		}
		r.used, r.idle = append(r.used, login), append(r.idle, other(login, provide.Databases[service]))
	}
	if err := r.drain(ctx, r.idle, 0); err != nil { // of a run that was broken off: they were in use a moment ago
		return err
	}
	if err := r.renew(ctx, r.idle); err != nil {
		return err
	}
	r.out.Sayf("%s have new passwords", strings.Join(r.idle, ", "))
	if err := r.hand(ctx); err != nil {
		return err
	}
	if err := r.drain(ctx, r.used, r.grace); err != nil {
		return err
	}
	if err := r.renew(ctx, r.used); err != nil {
		return err
	}
	r.out.Sayf("%s are in use, and the passwords of %s are void", strings.Join(r.idle, ", "), strings.Join(r.used, ", "))
	return nil
}

// other is that of a database's two logins which is not this one.
func other(login, database string) string {
	if login == database+"_a" {
		return database + "_b"
	}
	return database + "_a"
}

// renew gives logins new passwords.
func (r *rotation) renew(ctx context.Context, logins []string) error {
	_, err := r.c.Change(ctx, "migrate", func(items nomad.VariableItems) {
		for _, login := range logins {
			items[login+"_password"] = provide.Password()
		}
	})
	if err == nil {
		err = r.declare(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w; run this again then", err)
	}
	return nil
}

// hand gives each service the login that it does not use.
func (r *rotation) hand(ctx context.Context) error {
	for i, service := range r.services {
		password, err := r.c.Item(ctx, "migrate", r.idle[i]+"_password")
		if err != nil {
			return err
		}
		_, err = r.c.Change(ctx, service, func(items nomad.VariableItems) {
			items["db_user"], items["db_password"] = r.idle[i], password
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drain waits until no connection of logins that nobody is given any more is left, for grace at least. A service heeds new
// credentials when it uses its pool, which a request for its health makes it do; connections that nobody uses live for
// five minutes.
func (r *rotation) drain(ctx context.Context, logins []string, grace time.Duration) error {
	begin := time.Now()
	wait := console.Wait{
		For: "the end of all connections of before", Limit: 10 * time.Minute, Every: 2 * time.Second,
		Hint: "both passwords hold until then: run this again when they have ended",
	}
	return r.out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		left, err := r.connections(ctx, logins)
		if err == nil && left == 0 && time.Since(begin) >= grace {
			return "", nil
		}
		r.touch(ctx)
		if err != nil {
			return fmt.Sprintf("an unknown number of connections of %s is left: %v", strings.Join(logins, ", "), err), nil
		}
		return fmt.Sprintf("%d connections of %s are left", left, strings.Join(logins, ", ")), nil
	})
}

// connectionsOf counts those that logins have on one member.
const connectionsOf = "select count(*) from pg_stat_activity where usename = any($1::text[])"

// connections counts those that logins have, on all members.
func connections(ctx context.Context, c *cluster.Cluster, logins []string) (total int64, err error) {
	counts, err := askEach[int64](ctx, c, connectionsOf, logins)
	for _, count := range counts {
		total += count
	}
	return total, err
}

// toInstances is how instances are asked for their health; requests end with their contexts.
var toInstances = &http.Client{Transport: &http.Transport{DialContext: dial.Dialer(3 * time.Second).DialContext}}

// touch requests the health of every instance. One that does not answer is tried again at the next poll.
func (r *rotation) touch(ctx context.Context) {
	for _, service := range r.services {
		instances, err := r.c.Instances(ctx, service)
		if err != nil {
			continue
		}
		for _, instance := range instances {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, _, _ = call(ctx, toInstances, http.MethodGet, "http://"+instance.Service.Meta["status"]+"/health", nil, "")
			cancel()
		}
	}
}
