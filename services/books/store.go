package books

import (
	"context"
	"time"
)

// Store keeps books. Every method is one transaction: it happens whole or not
// at all. Errors are faults; those a method names are decisions (refused), any
// other says nothing about the outcome.
//
// A deleted book is kept but gone: BookGone for whoever asks for it by id, and
// free for others are its ISBN and source id.
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

	// Delete makes a book gone. BookNotFound, BookGone, VersionMismatch.
	Delete(ctx context.Context, id int64, ifVersion *int64) error

	// Available returns what is left of a book now. BookNotFound, BookGone.
	Available(ctx context.Context, id int64) (Availability, error)

	// Adjust changes the stock and writes the movement. OutOfStock, with what
	// is left, when there would be less than none. BookNotFound, BookGone.
	Adjust(ctx context.Context, id, delta int64) (Availability, error)

	// Highest returns the highest id that a book has or had, 0 without any.
	Highest(ctx context.Context) (int64, error)

	// List returns one page of the books that q asks for. It may lag by a second,
	// but shows the write that q.Token is of. MalformedRequest when that is none.
	List(ctx context.Context, q Query) (Page, error)

	// Quotes returns the prices of these books, in their order. One that is
	// not there is BookNotFoundInOrder, a deleted one BookGone.
	Quotes(ctx context.Context, ids []int64) ([]Quote, error)

	// Once runs work unless key has an outcome already, and stores what work
	// returns with the changes it made through its Store, in one transaction.
	// A refusal undoes the changes and is stored as well; an error of work
	// undoes all and stores nothing. replayed tells that the outcome is an
	// earlier one. IdempotencyKeyReused when the key belongs to another
	// request; InProgress when the first is still running at ctx's deadline.
	Once(ctx context.Context, key Key, work Work) (outcome Outcome, replayed bool, err error)
}

// Key is an Idempotency-Key with whose it is and what was asked under it.
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

// Work is what is done once under a key. refused says that the outcome is a
// refusal, so that nothing it changed may stay.
type Work func(ctx context.Context, store Store) (outcome Outcome, refused bool, err error)
