// Package txn is the root of a library for transactions over several databases:
// two-phase commits (twophase) and sagas (saga). README.md says which to take and
// where is what, PROTOCOL.md what the guarantees rest on.
package txn
