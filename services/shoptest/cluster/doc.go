// Package cluster is the shop that runs on this machine, as its tests and drills see it past
// the ingress: Nomad's allocations and their containers, Consul's services, the members of
// PostgreSQL, the nodes of Redis, the warehouse. It says whether anything is missing, and
// whether what was acknowledged is kept. Like shoptest it imports none of the shop's code.
package cluster
