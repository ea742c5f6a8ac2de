//go:build drill

// Package drills breaks the running shop in every way that it must survive, under load, and
// says what that cost (go tool task drill -- leader-killed).
//
// A scenario is a way to fail and its bars: what clients may notice of it at most
// (scenarios_test.go has them all). The runner puts the shop under load: orders and reads
// through the ingress and, where the database is harmed, clients that write to the leader as the
// services do and read from every replica. Then it kills, freezes, cuts off or fills up a part.
// It measures the longest times in which nothing was served, and counts failed answers; besides,
// every acknowledged order and row must be there, once, and no transaction half done. Some
// scenarios have a story of their own instead of a harm, and judge themselves: the chaos, the
// restore.
//
// The environment: DRILLS names scenarios and groups of them, separated by commas. Without it
// those of every test of the system run (go tool task test:e2e): each scenario of the group
// always, and two of the group drawn, which DRILL_SEED draws. RUNS is the number of rounds (1
// without it). CHAOS_TIME, CHAOS_SEED and SILENT_FOR are described at their scenarios.
// BOOKSTORE_TEST_TOKEN and BOOKSTORE_OPERATOR_TOKEN are tokens of the API; without them they are read from Nomad.
// With BOOKSTORE_LAB the shop is the lab's (go tool task lab:up), and the scenarios are those of whole machines (hosts_test.go).
//
// It needs root and the whole shop on this machine (go tool task up): processes are stopped
// by their ids, packets dropped by rules of its own, Consul ended and started. A drill
// undoes what it did, however it ends; the next one begins when nothing is missing.
package drills
