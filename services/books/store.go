package books

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Store stores books. Every method is one transaction. Errors are faults: those that a method's comment names are refusals,
// after which nothing has changed; after any other the outcome is unknown.
//
// A deleted book keeps its id, which answers BookGone. Other books may have its ISBN and its source id.
type Store interface {
	// Create adds a book with its first stock. InvalidField with code "taken" when another book has the ISBN or source id.
	Create(ctx context.Context, draft Draft) (Book, error)

	// Get returns a book. BookNotFound, BookGone.
	Get(ctx context.Context, id int64) (Book, error)

	// Edit replaces the entry by the one that edit returns, and locks it meanwhile. VersionMismatch when ifVersion is not nil
	// and not the book's version. An equal entry leaves the version as it is. BookNotFound, BookGone, InvalidField with code
	// "taken", and what edit returns.
	Edit(ctx context.Context, id int64, ifVersion *int64, edit func(Entry) (Entry, error)) (Book, error)

	// PutBySource creates the book with record.SourceID, or merges the record into it (SourceDraft.Merge) and leaves its
	// stock alone. BookGone when the book was deleted: an import does not restore it.
	PutBySource(ctx context.Context, record SourceDraft) (SourceResult, error)

	// Delete deletes a book. BookNotFound, BookGone, VersionMismatch.
	Delete(ctx context.Context, id int64, ifVersion *int64) error

	// Available returns the number of copies in stock. BookNotFound, BookGone.
	Available(ctx context.Context, id int64) (Availability, error)

	// Adjust changes the stock by delta, and writes it to the ledger. OutOfStock, with what is left, when the stock would be
	// below 0. BookNotFound, BookGone.
	Adjust(ctx context.Context, id, delta int64) (Availability, error)

	// Highest returns the highest id that a book has or had; 0 when there was none.
	Highest(ctx context.Context) (int64, error)

	// List returns one page. It may lag by a second, but includes the write whose token q.Token is. MalformedRequest when
	// q.Token is not a token.
	List(ctx context.Context, q Query) (Page, error)

	// Quotes returns the prices of these books, in their order. BookNotFoundInOrder, BookGone.
	Quotes(ctx context.Context, ids []int64) ([]Quote, error)

	// Once runs work unless key is already bound to an outcome. It binds key to the outcome of work in the transaction of
	// the changes that work makes through its Store. A refusal rolls the changes back and binds the key as well; an error
	// of work rolls everything back and binds nothing. replayed is true when the outcome is that of an earlier request.
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

// Work is the work of a request under a key. When refused is true the outcome is a refusal, and its changes are rolled back.
type Work func(ctx context.Context, store Store) (outcome Outcome, refused bool, err error)

// NotFound refuses an id that no book has or had.
func NotFound(id int64) *fault.Error {
	return fault.Newf(kinds.BookNotFound, "there is no book %d", id)
}

// Gone refuses a deleted book.
func Gone(ids ...int64) *fault.Error {
	f := fault.New(kinds.BookGone, "the book is no longer in the catalogue")
	f.Details = perBook(ids, func(id int64) map[string]any { return map[string]any{"bookId": id} })
	return f
}

// VersionDiffers refuses an edit of another version than the current one, which is version.
func VersionDiffers(version int64) *fault.Error {
	return fault.Newf(fault.VersionMismatch, "the book is at version %d now", version)
}

// Taken refuses a field whose value another book has.
func Taken(field string) *fault.Error {
	return fault.Invalid(fault.Field{Field: field, Code: "taken", Detail: "another book has it"})
}
