package books

import (
	"context"
	"time"
)

// Store keeps books. Every method is one transaction. Errors are faults: those that a method's comment names are definite
// refusals; after any other the outcome is unknown.
//
// A deleted book keeps its row. Its id answers BookGone; its ISBN and source id are free for other books.
type Store interface {
	// Create adds a book with its first stock. InvalidField with code "taken"
	// when another book has the ISBN or source id.
	Create(ctx context.Context, draft Draft) (Book, error)

	// Get returns a book. BookNotFound, BookGone.
	Get(ctx context.Context, id int64) (Book, error)

	// Edit replaces the entry by what edit makes of it while nobody else can
	// change it. ifVersion, when not nil, must be the book's version, else
	// VersionMismatch. An entry that stays equal leaves the version as it is.
	// BookNotFound, BookGone, "taken", and what edit refuses.
	Edit(ctx context.Context, id int64, ifVersion *int64, edit func(Entry) (Entry, error)) (Book, error)

	// PutBySource creates the book that has record.SourceID, or merges the
	// record into the one there is (SourceDraft.Merge) and leaves its stock
	// alone. BookGone when the book was deleted: a source does not bring it back.
	PutBySource(ctx context.Context, record SourceDraft) (SourceResult, error)

	// Delete deletes a book. BookNotFound, BookGone, VersionMismatch.
	Delete(ctx context.Context, id int64, ifVersion *int64) error

	// Available returns what is left of a book now. BookNotFound, BookGone.
	Available(ctx context.Context, id int64) (Availability, error)

	// Adjust changes the stock and writes the movement. OutOfStock, with what is left, when the stock would be below 0.
	// BookNotFound, BookGone.
	Adjust(ctx context.Context, id, delta int64) (Availability, error)

	// Highest returns the highest id that a book has or had; 0 when there is none.
	Highest(ctx context.Context) (int64, error)

	// List returns one page. It may lag by a second, but includes the write whose token q.Token is. MalformedRequest when
	// q.Token is not a token.
	List(ctx context.Context, q Query) (Page, error)

	// Quotes returns the prices of these books, in their order. BookNotFoundInOrder, BookGone.
	Quotes(ctx context.Context, ids []int64) ([]Quote, error)

	// Once runs work unless key is bound to an outcome already. It binds key to the outcome of work in the transaction of
	// the changes that work makes through its Store. A refusal rolls the changes back and binds the key as well; an error
	// of work rolls everything back and binds nothing. replayed tells that the outcome is an earlier one.
	// IdempotencyKeyReused when the key has another request hash; InProgress when its first request still runs at ctx's
	// deadline.
	Once(ctx context.Context, key Key, work Work) (outcome Outcome, replayed bool, err error)
}

// Key is an Idempotency-Key with its caller and the hash of the request.
type Key struct {
	Caller      string
	Key         string
	RequestHash []byte
}

// KeyLife is how long a key stays bound to its outcome.
const KeyLife = 24 * time.Hour

// Outcome is the answer that a key is bound to.
type Outcome struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Work is done once under a key. refused tells that the outcome is a refusal: what work changed is rolled back.
type Work func(ctx context.Context, store Store) (outcome Outcome, refused bool, err error)
