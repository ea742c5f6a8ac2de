package service

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"bookstore/services/gateway"
)

// Route is one route of a service-router. Of several that match a call Envoy takes the first.
type Route struct {
	Why     []string // the lines of its comment
	Regex   string   // of the whole path; or
	Prefix  string
	Methods []string // none: all
	Key     bool     // only calls with an Idempotency-Key
	Service string   // where it leads; "" for the router's own
	Timeout string   // of the whole call, -1s for none; "" for Envoy's
	Idle    string   // how long an answer may pause
	Retries int      // after the first attempt
	RetryOn []string
}

var (
	// unseen: no instance has had the call.
	unseen = []string{"connect-failure", "refused-stream"}
	// anyFailure: an instance may have carried the call out, so it must do no harm twice.
	anyFailure = []string{"connect-failure", "refused-stream", "reset", "gateway-error"}
)

// Routes are the service's, made from the calls that it answers.
func (s Service) Routes() []Route {
	calls := Calls(s.Name)
	// What the gateway may send again itself is tried twice by the sidecar, all else three times: four tries at most.
	repeats := 2
	if slices.Contains(Services()[0].Calls, s.Name) {
		repeats = 1
	}
	routes := ownPaths(calls, repeats)
	if takes(calls, http.MethodGet) {
		routes = append(routes, Route{
			Why:    []string{"Reads do no harm twice."},
			Prefix: "/", Methods: []string{"GET", "HEAD"}, Timeout: s.ReadTimeout, Retries: repeats, RetryOn: anyFailure,
		})
		if s.ReadTimeout != "" {
			routes[len(routes)-1].Why = append(routes[len(routes)-1].Why,
				"The time-out is what ejects a slow instance; the gateway waits longer and asks again.")
		}
	}
	if slices.ContainsFunc(calls, func(c Call) bool { return c.Repeat == gateway.WithKey }) {
		routes = append(routes, Route{
			Why:    []string{"The second POST with the same Idempotency-Key has the answer of the first."},
			Prefix: "/", Methods: []string{http.MethodPost}, Key: true, Retries: repeats, RetryOn: anyFailure,
		})
	}
	if slices.ContainsFunc(calls, func(c Call) bool { return strings.HasPrefix(c.Path, internal) }) {
		routes = append(routes, Route{
			Why:    []string{"Calls between services are idempotent: by their transaction's gid, or by their saga and step."},
			Prefix: internal, Retries: 2, RetryOn: anyFailure,
		})
	}
	return append(routes, Route{
		Why:    []string{"All else is sent again only when no instance has had it."},
		Prefix: "/", Retries: 2, RetryOn: unseen,
	})
}

// ownPaths are the routes of calls that each need one: reads of a book go to the gateway that their path belongs to,
// and streams may last.
func ownPaths(calls []Call, repeats int) (routes []Route) {
	for _, c := range calls {
		if c.Hashed {
			routes = append(routes, Route{
				Why:   []string{"A book is read from the gateway that its path belongs to, so that each keeps its part of the books."},
				Regex: parameter.ReplaceAllString(c.Path, "[0-9]+"), Methods: []string{"GET", "HEAD"},
				Service: "gateway-by-path", Retries: repeats, RetryOn: anyFailure,
			})
		}
	}
	for _, c := range calls {
		if c.Stream {
			routes = append(routes, Route{
				Why: []string{"A stream of events has no time-out (-1s). It sends something every ten seconds, so one that pauses for thirty",
					"is dead."},
				Regex: parameter.ReplaceAllString(c.Path, "[^/]+"), Methods: []string{c.Method},
				Timeout: "-1s", Idle: "30s", Retries: repeats, RetryOn: anyFailure,
			})
		}
	}
	return routes
}

// parameter matches a variable part of a path.
var parameter = regexp.MustCompile(`:[A-Za-z]+`)

// takes tells whether one of the calls has the method.
func takes(calls []Call, method string) bool {
	return slices.ContainsFunc(calls, func(c Call) bool { return c.Method == method })
}
