package twophase

import (
	"context"
	"encoding/json"
	"time"
)

// Kind is what a transaction is for.
type Kind string

// KindUnknown is the kind of a gid that a participant queried and that was not on
// record. It is presumed aborted, and the row keeps it so. All other kinds are
// defined by use cases.
const KindUnknown Kind = "unknown"

// Transaction is one attempt of a distributed transaction: a row of
// transactions. Idempotency and decision stand in this one row, so that an
// outcome and the decision it belongs to are written by the same statement.
type Transaction struct {
	GID        string
	Kind       Kind
	State      State
	Commits    bool // the decision, once there is one, is to commit
	Caller     string
	Key        string // the caller's Idempotency-Key
	Attempt    int    // from 1, per caller and key
	Branches   []string
	Payload    json.RawMessage // what the row remembers about its request: an object of the use case's
	Owner      string          // the instance that drives it
	Deadline   time.Time       // of the decision to commit, by the clock of the database
	CreatedAt  time.Time
	DecidedAt  time.Time // zero until then
	FinishedAt time.Time // zero until every branch acknowledged
	Notes      Notes
}

// Notes tell what is remarkable about branches, by branch name.
type Notes map[string]Note

// Note is what is remarkable about one branch.
type Note struct {
	State     string `json:"state,omitempty"` // of the branch in a heuristic outcome: what became of it
	LastError string `json:"lastError,omitempty"`
}

// Outcome is what a request came to, as it is bound to its key: a success
// with its body as it was sent, or a refusal in a form from which each replay
// makes a problem of its own.
type Outcome struct {
	Status int
	Body   json.RawMessage
}

// Claim describes the attempt that a request claims.
type Claim struct {
	Kind        Kind
	Caller      string
	Key         string
	RequestHash []byte
	Branches    []string        // by which participants are called, and gids of branches end: a-z, 32 at most
	Payload     json.RawMessage // an object; nil is {}
}

// Latest is the newest attempt under a caller's key, as ActionFor needs it.
type Latest struct {
	Transaction
	RequestHash []byte
	Outcome     *Outcome // nil: none
	Lapsed      bool     // the owner's lease is over, by the clock of the database
	Expired     bool     // older than the key's 24 hours
}

// Decision is what is to be written where nothing is decided yet.
type Decision struct {
	State   State    // Committing or Aborted
	Outcome *Outcome // required with Committing; nil with Aborted leaves the key unbound
	// Unsent: no branch has been called, so an abort is finished at once.
	Unsent bool
}

// Finished reports that every branch of an attempt acknowledged.
type Finished struct {
	GID   string
	State State // Committed, Aborted or Heuristic
	Notes Notes
}

// Backlog is how many attempts are in a state, and how long the oldest has been.
type Backlog struct {
	Count  int
	Oldest time.Duration // since its claim
}

// Filter selects transactions for operators.
type Filter struct {
	State State // "" is all
	Limit int
	After *Position // nil is the newest
}

// Position is a place in the list of transactions, newest first.
type Position struct {
	CreatedAt time.Time `json:"t"`
	GID       string    `json:"g"`
}

// Store keeps the attempts. Every method is one short statement or two, and
// every time it compares comes from the database's clock.
type Store interface {
	// Claim makes attempt n of a request, owned by owner under a lease, and
	// reports false when its gid is taken, when the attempt before it may still
	// come to something, or when that is gone: a key whose attempts are pruned
	// begins with the first again.
	Claim(ctx context.Context, c Claim, n int, owner string) (Transaction, bool, error)
	// Latest returns the newest attempt under caller and key, nil if there is
	// none.
	Latest(ctx context.Context, caller, key string) (*Latest, error)
	// Decide makes d the decision if none stands, and a commit only before the
	// deadline: past it the attempt is aborted. It returns the state that
	// stands and whether an outcome is bound to it. After an error both are
	// unknown, and the call may be repeated. What it returns is on the disk of
	// every node that may become the leader.
	Decide(ctx context.Context, gid, owner string, d Decision) (State, bool, error)
	// Presume aborts gid unless it is decided, or its owner is alive and its
	// deadline has not passed. A gid that is not on record gets an aborted row with
	// this one branch. It returns what stands then. Like Decide's, the answer has
	// reached every node that may become the leader.
	Presume(ctx context.Context, gid, branch, owner string) (Standing, error)
	// Finish closes attempts whose branches have all acknowledged.
	Finish(ctx context.Context, done []Finished) error
	// Annotate writes down what keeps a branch from acknowledging.
	Annotate(ctx context.Context, gid string, notes Notes) error
	// Renew extends the leases of owner's attempts.
	Renew(ctx context.Context, owner string, gids []string) error
	// Release ends the leases of owner's attempts, for others to take over.
	Release(ctx context.Context, owner string, gids []string) error
	// TakeOver gives owner up to limit unfinished attempts whose lease lapsed,
	// only gid's if gid is not empty. Those undecided are aborted by it.
	TakeOver(ctx context.Context, owner, gid string, limit int) ([]Transaction, error)
	Records
}

// Records are the attempts for operators and for those who clean up.
type Records interface {
	// Unfinished counts the attempts that are not finished, by state, and
	// beside them the heuristic outcomes of the last 24 hours.
	Unfinished(ctx context.Context) (map[State]Backlog, error)
	// Transaction returns one attempt, or fault.TransactionNotFound.
	Transaction(ctx context.Context, gid string) (Transaction, error)
	// Transactions lists attempts, newest first.
	Transactions(ctx context.Context, f Filter) ([]Transaction, error)
}

// Message identifies a branch of an attempt; it travels in every call.
type Message struct {
	GID      string
	Branch   string
	Branches []string
	Deadline time.Time
}

// Participant is a service that holds a branch. Every call may be repeated;
// nil is done, otherwise the error is a refusal or leaves the matter open
// (fault.Refused, fault.Unknown).
type Participant interface {
	Prepare(ctx context.Context, m Message, payload any) error
	// Commit refuses with fault.Lost when there is nothing left to commit and
	// no marker that it was.
	Commit(ctx context.Context, m Message) error
	// Abort refuses with fault.Lost what has been committed.
	Abort(ctx context.Context, m Message) error
}

// branchLost is the state of a branch that is neither prepared nor finished:
// rolled back by hand, or gone with its database.
const branchLost = "lost"

// Decision is what was decided, whatever became of it, or VerdictPending.
func (t Transaction) Decision() Verdict {
	switch {
	case !t.State.Decided():
		return VerdictPending
	case t.Commits:
		return VerdictCommit
	}
	return VerdictAbort
}

// BranchState tells how far a branch is, as far as the row knows: an attempt
// that is being carried out does not say which branches are through.
func (t Transaction) BranchState(branch string) string {
	switch {
	case t.Notes[branch].State != "":
		return t.Notes[branch].State
	case t.State == Committing:
		return "prepared"
	case t.State == Aborted && t.FinishedAt.IsZero():
		return "aborting"
	}
	return string(t.State)
}
