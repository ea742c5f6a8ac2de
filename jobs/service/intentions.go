package service

import (
	"net/http"
	"slices"
	"strings"

	"bookstore/services/gateway"
)

// Source is a caller of a service, and what its sidecar lets it call.
type Source struct {
	Name        string
	Permissions []Permission // none: everything
}

// Permission is one path of a service, with the methods that the caller uses.
type Permission struct {
	Exact   string // the whole path; or
	Regex   string // of the whole path
	Methods []string
}

// Sources are the callers of the service. The ingress may call everything of the gateway, which answers as a problem what
// it does not know.
func (s Service) Sources() []Source {
	var sources []Source
	for _, caller := range s.Callers() {
		source := Source{Name: caller}
		if caller != ingress {
			source.Permissions = permissions(CallsBy(caller, s.Name))
		}
		sources = append(sources, source)
	}
	return sources
}

// CallsBy are the calls that one service makes to another. The gateway makes those of its table, and asks whether the
// other is ready. All internal calls are made by the other callers: coordinators call participants, participants ask
// coordinators, who read an order before they cancel it or take it back. What shows a payment to an operator (GET) no
// service calls.
func CallsBy(caller, service string) []Call {
	if caller == gate {
		calls := []Call{{Method: http.MethodGet, Path: "/ready"}}
		for _, r := range gateway.Routes() {
			if string(r.Upstream) == service {
				calls = append(calls, Call{Method: r.Method, Path: r.Pattern})
			}
		}
		return calls
	}
	calls := slices.DeleteFunc(internalCalls(service), func(c Call) bool { return c.Method == http.MethodGet })
	if service == "orders" {
		calls = append(calls, Call{Method: http.MethodGet, Path: "/orders/:id"})
	}
	return calls
}

// permissions are one for each path, in the order of the calls.
func permissions(calls []Call) (all []Permission) {
	at := map[string]int{}
	for _, c := range calls {
		i, known := at[c.Path]
		if !known {
			i = len(all)
			at[c.Path] = i
			all = append(all, permission(c.Path))
		}
		all[i].Methods = append(all[i].Methods, c.Method)
	}
	return all
}

// permission is of one path, which may have variable parts.
func permission(path string) Permission {
	if strings.Contains(path, ":") {
		return Permission{Regex: parameter.ReplaceAllString(path, "[^/]+")}
	}
	return Permission{Exact: path}
}
