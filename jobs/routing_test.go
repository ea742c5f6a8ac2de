package jobs_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"

	"bookstore/jobs/service"
	"bookstore/services/gateway"
	"bookstore/services/platform/config"
)

const (
	// attempts is the header by which a caller hears how often the sidecar has tried.
	attempts = "x-envoy-attempt-count"
	// door is the service whose callers are clients.
	door = "gateway"
)

// A retry of the sidecar's is a reroute, and reroutes are counted: no route may keep them to
// itself.
func TestEveryRouteReportsItsAttempts(t *testing.T) {
	t.Parallel()
	for name, router := range entriesOf[*consul.ServiceRouterConfigEntry](entries(t)) {
		for i, route := range router.Routes {
			d := route.Destination
			if d == nil || d.NumRetries == 0 || len(d.RetryOn) == 0 {
				t.Errorf("route %d to %s is never tried again, not even when nobody saw it", i, name)
				continue
			}
			if set := d.ResponseHeaders != nil && d.ResponseHeaders.Set[attempts] == "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"; set != (name != door) {
				t.Errorf("route %d to %s sets %s: %t", i, name, attempts, set)
			}
		}
	}
}

// What is Envoy's own ends at the ingress.
func TestClientsSeeNothingOfEnvoy(t *testing.T) {
	t.Parallel()
	for i, route := range entriesOf[*consul.ServiceRouterConfigEntry](entries(t))[door].Routes {
		for _, name := range []string{attempts, "x-envoy-ratelimited", "x-envoy-upstream-service-time"} {
			if h := route.Destination.ResponseHeaders; h == nil || !slices.Contains(h.Remove, name) {
				t.Errorf("route %d of the ingress lets %s through", i, name)
			}
		}
	}
}

// tries is how often a sidecar sends a call at most, and whether it does so although an instance may have carried it out.
func tries(to *consul.ServiceRouteDestination) (n int, repeats bool) {
	return 1 + int(to.NumRetries), slices.Contains(to.RetryOn, "gateway-error") || slices.Contains(to.RetryOn, "reset")
}

// parameter matches a variable part of a path; 17 is one that every route takes.
var parameter = regexp.MustCompile(`:[A-Za-z]+`)

// Each call that a service answers, of the API or of another service's, is held against the router that it passes. One that
// may have been carried out is sent again only if it says so: its first answer would be lost, and the second be 410 or 412.
// A call of the API is tried twice by the sidecar, as TestACallIsTriedFourTimesAtMost of the gateway, which sends it twice,
// takes for granted; the ingress adds none, because what a gateway answers is final. All else is tried three times at most.
// Each route but the last is taken by some call.
func TestRoutersFollowTheCalls(t *testing.T) {
	t.Parallel()
	routers := entriesOf[*consul.ServiceRouterConfigEntry](entries(t))
	for _, s := range service.Services() {
		taken := map[int]bool{}
		for _, c := range service.Calls(s.Name) {
			internal := strings.HasPrefix(c.Path, "/internal/")
			for _, key := range []bool{false, true} {
				call := fmt.Sprintf("%s: %s %s, key %t", s.Name, c.Method, c.Path, key)
				to, i := match(t, routers[s.Name], c.Method, parameter.ReplaceAllString(c.Path, "17"), key)
				if i < 0 {
					t.Errorf("%s has no route", call)
				}
				taken[i] = true
				n, repeats := tries(to)
				if mayRepeat := c.Repeat == gateway.Always || (c.Repeat == gateway.WithKey && key); repeats && !mayRepeat || internal && !repeats {
					t.Errorf("%s may be repeated: %t; the sidecar repeats it: %t", call, mayRepeat, repeats)
				}
				if n > 3 || (repeats && !internal && s.Name != door && n != 2) {
					t.Errorf("%s is tried %d times", call, n)
				}
				if c.Stream != (to.RequestTimeout < 0) || c.Hashed != (to.Service == "gateway-by-path") {
					t.Errorf("%s has the time-out %s and leads to %q", call, to.RequestTimeout, to.Service)
				}
			}
		}
		for i := range len(routers[s.Name].Routes) - 1 { // the last is for what has no route of its own
			if !taken[i] {
				t.Errorf("%s: no call takes route %d", s.Name, i)
			}
		}
	}
}

// Whoever is called by another service than the gateway answers calls under /internal/: calls.go knows them.
func TestInternalCallsAreKnown(t *testing.T) {
	t.Parallel()
	for _, s := range service.Services() {
		called := slices.ContainsFunc(s.Callers(), func(name string) bool { return name != door && name != "ingress" })
		known := slices.ContainsFunc(service.Calls(s.Name), func(c service.Call) bool { return strings.HasPrefix(c.Path, "/internal/") })
		if called != known {
			t.Errorf("%s is called by %v, and its internal calls are known: %t", s.Name, s.Callers(), known)
		}
	}
}

// Paths are normalised by nobody between the client and the gateway, which refuses what is not plain.
func TestNobodyRewritesPaths(t *testing.T) {
	t.Parallel()
	entry, ok := entries(t)["mesh/mesh"].(*consul.MeshConfigEntry)
	if !ok || entry.HTTP == nil || entry.HTTP.Incoming == nil || entry.HTTP.Incoming.RequestNormalization == nil {
		t.Fatalf("jobs/mesh/mesh.hcl is %+v", entry)
	}
	if rules := *entry.HTTP.Incoming.RequestNormalization; rules != (consul.RequestNormalizationMeshConfig{InsecureDisablePathNormalization: true}) {
		t.Errorf("paths are changed by %+v", rules)
	}
}

// routed is where a router sends a request; -1 is Consul's own last route.
func routed(t *testing.T, router *consul.ServiceRouterConfigEntry, method, path string) (*consul.ServiceRouteDestination, int) {
	t.Helper()
	return match(t, router, method, path, false)
}

// match is routed for a call that may carry an Idempotency-Key, the one header that routes ask for.
func match(t *testing.T, router *consul.ServiceRouterConfigEntry, method, path string, key bool) (*consul.ServiceRouteDestination, int) {
	t.Helper()
	for i, route := range router.Routes {
		m := route.Match.HTTP
		if m == nil {
			t.Fatalf("route %d to %s matches by something else than HTTP", i, router.Name)
		}
		matches := (len(m.Header) == 0 || key) && (len(m.Methods) == 0 || slices.Contains(m.Methods, method))
		switch {
		case m.PathRegex != "":
			matches = matches && regexp.MustCompile("^(?:"+m.PathRegex+")$").MatchString(path)
		case m.PathPrefix != "":
			matches = matches && strings.HasPrefix(path, m.PathPrefix)
		default:
			t.Fatalf("route %d to %s matches neither a prefix nor an expression", i, router.Name)
		}
		if matches {
			return route.Destination, i
		}
	}
	return &consul.ServiceRouteDestination{}, -1
}

// What is read of a book goes to the gateway that the path belongs to, by a service that has
// no instances and fails over to the gateway's; all else to the one with the least to do.
func TestOnlyBooksArePartitioned(t *testing.T) {
	t.Parallel()
	all := entries(t)
	resolvers := entriesOf[*consul.ServiceResolverConfigEntry](all)
	router := entriesOf[*consul.ServiceRouterConfigEntry](all)["gateway"]
	for path, methods := range map[string]map[string]bool{
		"/books/17":                {http.MethodGet: true, http.MethodHead: true, http.MethodPut: false, http.MethodDelete: false},
		"/books":                   {http.MethodGet: false, http.MethodPost: false},
		"/books/17/availability":   {http.MethodGet: false},
		"/books/by-source/17":      {http.MethodPut: false},
		"/books/x":                 {http.MethodGet: false},
		"/orders":                  {http.MethodGet: false, http.MethodPost: false},
		"/checkouts/a-1/events":    {http.MethodGet: false},
		"/transactions/0123456789": {http.MethodGet: false},
	} {
		for method, want := range methods {
			to, _ := routed(t, router, method, path)
			if partitioned := to.Service == "gateway-by-path"; partitioned != want {
				t.Errorf("%s %s goes to %q", method, path, to.Service)
			}
		}
	}
	byPath := resolvers["gateway-by-path"]
	lb := byPath.LoadBalancer
	if lb.Policy != "maglev" || len(lb.HashPolicies) != 1 || lb.HashPolicies[0].Field != "header" || lb.HashPolicies[0].FieldValue != ":path" {
		t.Errorf("gateway-by-path picks an instance by %+v", lb)
	}
	if byPath.Failover["*"].Service != "gateway" {
		t.Errorf("gateway-by-path stands for %+v", byPath.Failover)
	}
	if policy := resolvers["gateway"].LoadBalancer.Policy; policy != "least_request" {
		t.Errorf("gateway picks an instance by %q", policy)
	}
}

// Envoy ejects for what it sees fail. What the gateway gives up first was only cancelled, so the
// time-outs of its reads from the services lie above the mesh's.
func TestTheMeshNoticesSlowReadsBeforeTheGateway(t *testing.T) {
	t.Parallel()
	routers := entriesOf[*consul.ServiceRouterConfigEntry](entries(t))
	for _, r := range gateway.Routes() {
		if r.Method != http.MethodGet || (r.Upstream != gateway.Books && r.Upstream != gateway.Orders) {
			continue
		}
		to, i := routed(t, routers[string(r.Upstream)], r.Method, r.Pattern)
		if to.RequestTimeout <= 0 || 2*to.RequestTimeout >= r.Timeout {
			t.Errorf("GET %s: the mesh's route %d waits for %s, the gateway for %s", r.Pattern, i, to.RequestTimeout, r.Timeout)
		}
	}
}

// silent is how long an Envoy waits for a host that takes no connection, in milliseconds: a quarter of what readers may miss when one
// vanishes.
const silent = 500

// The ingress has the time-outs of the resolvers.
func TestTheIngressWaitsNotLongForASilentHost(t *testing.T) {
	t.Parallel()
	for name, entry := range entriesOf[*consul.ServiceResolverConfigEntry](entries(t)) {
		if entry.ConnectTimeout.Milliseconds() != silent {
			t.Errorf("%s: %s", name, entry.ConnectTimeout)
		}
	}
}

// UpstreamConfig is about the calls that a service makes.
func TestCallersEjectAndAreBounded(t *testing.T) {
	t.Parallel()
	callers := map[string]bool{}
	for _, p := range load(t) {
		for _, e := range upstreams(p.raw) {
			callers[e.source] = true
		}
	}
	for name, entry := range entriesOf[*consul.ServiceConfigEntry](entries(t)) {
		if (entry.UpstreamConfig != nil) != callers[name] {
			t.Errorf("%s says how it calls others: %t; it does: %t", name, entry.UpstreamConfig != nil, callers[name])
		}
		if entry.UpstreamConfig == nil {
			continue
		}
		d := entry.UpstreamConfig.Defaults
		if eject := d.PassiveHealthCheck; eject == nil || eject.EnforcingConsecutive5xx == nil || *eject.EnforcingConsecutive5xx != 100 ||
			eject.MaxEjectionPercent == nil || *eject.MaxEjectionPercent != 50 {
			t.Errorf("%s ejects by %+v: one of two, when it fails", name, eject)
		}
		if d.ConnectTimeoutMs != silent {
			t.Errorf("%s waits %d ms for a host that is silent, not %d", name, d.ConnectTimeoutMs, silent)
		}
		if limits := d.Limits; limits == nil || limits.MaxConnections == nil || limits.MaxPendingRequests == nil || limits.MaxConcurrentRequests == nil {
			t.Errorf("%s is bounded by %+v", name, limits)
		}
	}
}

// What the gateway lets through to a service at most is less than what its Envoy does, or the
// calls beyond would fail as if nobody were there.
func TestTheGatewayIsBoundedBeforeItsEnvoy(t *testing.T) {
	t.Parallel()
	most := *entriesOf[*consul.ServiceConfigEntry](entries(t))["gateway"].UpstreamConfig.Defaults.Limits.MaxConnections
	for _, p := range load(t) {
		if *p.raw.ID != "gateway" {
			continue
		}
		env := p.raw.TaskGroups[0].Tasks[0].Env
		settings, err := config.Load[gateway.Resilience](func(name string) string { return env[name] })
		if err != nil || int(settings.InFlightMost) >= most {
			t.Errorf("%s: up to %d calls to %d connections: %v", p.name(), settings.InFlightMost, most, err)
		}
	}
}

// The address that a client is limited by is not the client's to choose, nor is when it called. And where a route of
// the ingress leads to a service that fails over, Consul panics over limits of the ingress.
func TestIngressSaysWhoCalls(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		for _, g := range p.raw.TaskGroups {
			if !isGateway(g) {
				continue
			}
			for _, listener := range g.Services[0].Connect.Gateway.Ingress.Listeners {
				for _, s := range listener.Services {
					for name, value := range map[string]string{
						"X-Client-Address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
						"X-Request-Start":  "t=%START_TIME(%s.%6f)%",
					} {
						if s.RequestHeaders == nil || s.RequestHeaders.Set[name] != value {
							t.Errorf("%s: %s of %s is not set to %s: %+v", p.name(), name, s.Name, value, s.RequestHeaders)
						}
					}
					if s.MaxConnections != nil || s.MaxPendingRequests != nil || s.MaxConcurrentRequests != nil {
						t.Errorf("%s: the ingress limits %s", p.name(), s.Name)
					}
				}
			}
		}
	}
}
