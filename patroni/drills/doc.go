//go:build drill

// Package drills breaks the running PostgreSQL cluster in every way it must survive, under
// load, and says what that cost (go tool task bench:failover).
//
// Each drill has customers at the shop's door, who order and read, and clients of the
// database itself, who write as the services do and read from the replicas. Then a part is
// killed, frozen, cut off or filled up. What is measured are the longest times in which no
// customer and no client was served; what is demanded besides is that every row and every
// order that was acknowledged is there, once, and that no transaction is half done.
//
// The environment: DRILLS names drills, separated by commas (all of them without it); RUNS
// says how many rounds of them (1 without it).
//
// It needs root and the whole shop on this machine (go tool task up): processes are stopped
// by their ids, packets dropped by rules of its own, Consul ended and started. Whatever a
// drill does is undone when it ends, however it ends; the next one begins when nothing is
// missing.
package drills
