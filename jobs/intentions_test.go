package jobs_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"

	"bookstore/jobs/service"
)

// permits tells whether one of a caller's permissions covers the call, as Envoy reads them.
func permits(t *testing.T, source *consul.SourceIntention, method, path string) bool {
	t.Helper()
	return slices.ContainsFunc(source.Permissions, func(p *consul.IntentionPermission) bool {
		if p.Action != consul.IntentionActionAllow || p.HTTP == nil || len(p.HTTP.Methods) == 0 || p.HTTP.PathPrefix != "" {
			t.Errorf("%s has the permission %+v: it has to name a path and methods", source.Name, p)
			return false
		}
		matches := p.HTTP.PathExact == path
		if p.HTTP.PathRegex != "" {
			matches = regexp.MustCompile("^(?:" + p.HTTP.PathRegex + ")$").MatchString(path)
		}
		return matches && slices.Contains(p.HTTP.Methods, method)
	})
}

// makes tells whether a service makes a call: the gateway those of its table and one that asks whether the other is ready,
// and all others those that the called service has for services, of which none reads; coordinators read orders.
func makes(caller, called, method, path string) bool {
	if caller == door && method+path == "GET/ready" {
		return true
	}
	return slices.ContainsFunc(service.Calls(called), func(c service.Call) bool {
		if c.Method != method || !regexp.MustCompile("^"+parameter.ReplaceAllString(c.Path, "[^/]+")+"$").MatchString(path) {
			return false
		}
		if caller == door {
			return !strings.HasPrefix(path, "/internal/")
		}
		if called == "orders" && c.Path == "/orders/:id" {
			return method == http.MethodGet
		}
		return strings.HasPrefix(path, "/internal/") && method == http.MethodPost
	})
}

// A caller may do what it does and nothing else: each call that a service answers is held against each caller's permissions,
// with every method.
func TestIntentionsFollowTheCalls(t *testing.T) {
	t.Parallel()
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	for name, entry := range entriesOf[*consul.ServiceIntentionsConfigEntry](entries(t)) {
		if name == door {
			continue
		}
		for _, source := range entry.Sources {
			made := 0
			for _, path := range paths() {
				for _, method := range methods {
					permitted, makes := permits(t, source, method, path), makes(source.Name, name, method, path)
					if permitted != makes {
						t.Errorf("%s %s of %s: %s may make the call: %t; it makes it: %t", method, path, name, source.Name, permitted, makes)
					}
					if makes {
						made++
					}
				}
			}
			if made == 0 {
				t.Errorf("%s makes no call to %s", source.Name, name)
			}
		}
	}
}

// paths are those of all calls of all services, and some that nobody calls.
func paths() []string {
	all := []string{
		"/", "/ready", "/health", "/metrics", "/internal/", "/internal/x", "/orders/17/", "/orders//cancel", "/orders/17/cancel/x", "/Orders",
		"/internal/transactions/17/commit/x", "/internal/transactions//ask", "/internal/transactions/17/18/ask", "/x/internal/quotes",
	}
	for _, s := range service.Services() {
		for _, c := range service.Calls(s.Name) {
			all = append(all, parameter.ReplaceAllString(c.Path, "17"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
