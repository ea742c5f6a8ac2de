// Package receivers is who Alertmanager tells of alerts: items of the variable of the job alertmanager.
package receivers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// Job is the job whose variable has the items.
const Job = "alertmanager"

// Item is one that an operator may set.
type Item struct {
	Name, Means string
	Secret      bool // it is not shown
	check       func(string) error
}

// Items are all. E-mail is sent once the first three of it are set; without a user it is sent without a login.
var Items = []Item{
	{"webhook_url", "where notifications are posted", true, webhook},
	{"smtp_smarthost", "the server that takes e-mail, host:port, with STARTTLS", false, hostPort},
	{"email_from", "the sender of e-mail", false, address},
	{"email_to", "who gets e-mail", false, address},
	{"smtp_username", "the login at the server", false, some},
	{"smtp_password", "its password", true, some},
}

func webhook(value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("not a URL such as https://chat.example.com/hooks/1234") // without what was given: it may have a secret
	}
	return nil
}

func hostPort(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%q is not host:port", value)
	}
	return nil
}

func address(value string) error {
	if _, err := mail.ParseAddress(value); err != nil {
		return fmt.Errorf("%q is no e-mail address", value)
	}
	return nil
}

func some(value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	return nil
}

// Find is the item of a name.
func Find(name string) (Item, error) {
	i := slices.IndexFunc(Items, func(i Item) bool { return i.Name == name })
	if i < 0 {
		names := make([]string, 0, len(Items))
		for _, item := range Items {
			names = append(names, item.Name)
		}
		return Item{}, fmt.Errorf("there is no %q: %s", name, strings.Join(names, ", "))
	}
	return Items[i], nil
}

// Set gives an item a value, which Alertmanager follows within seconds. It tells whether anything is different now.
func Set(ctx context.Context, c *cluster.Cluster, item Item, value string) (bool, error) {
	value = strings.TrimSpace(value)
	if strings.ContainsAny(value, "\n\r\x00") {
		return false, fmt.Errorf("%s has one line", item.Name)
	}
	if err := item.check(value); err != nil {
		return false, fmt.Errorf("%s: %w", item.Name, err)
	}
	return c.Change(ctx, Job, func(has nomad.VariableItems) { has[item.Name] = value })
}

// Unset takes an item away.
func Unset(ctx context.Context, c *cluster.Cluster, item Item) (bool, error) {
	return c.Change(ctx, Job, func(has nomad.VariableItems) { delete(has, item.Name) })
}
