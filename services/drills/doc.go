//go:build drill

// Package drills breaks the running shop in every way that it must survive, under load, and
// says what that cost (go tool task drill -- leader-killed).
//
// A scenario is a way to fail and its bars: what customers may notice of it at most
// (scenarios_test.go has them all). In each there are customers at the shop's door, who order
// and read; where the database is harmed there are clients of its own too, who write as the
// services do and read from the replicas. Then a part is killed, frozen, cut off or filled up.
// What is measured are the longest times in which nobody was served, and how many answers
// failed; what is demanded besides is that every order and every row that was acknowledged is
// there, once, and that no transaction is half done. Some scenarios are stories of their own,
// which judge themselves: the chaos, the restore.
//
// The environment: DRILLS names scenarios and groups of them, separated by commas. Without it
// those run that belong to every test of the system (go tool task test:e2e): that is every
// scenario of the group always, and two of the group drawn, which DRILL_SEED draws. RUNS says
// how many rounds (1 without it). CHAOS_TIME, CHAOS_SEED and SILENT_FOR are told of at the
// scenarios. BOOKSTORE_TEST_TOKEN and BOOKSTORE_OPERATOR_TOKEN are tokens of the API.
//
// It needs root and the whole shop on this machine (go tool task up): processes are stopped
// by their ids, packets dropped by rules of its own, Consul ended and started. Whatever a
// drill does is undone when it ends, however it ends; the next one begins when nothing is
// missing.
package drills
