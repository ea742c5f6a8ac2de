// Package announce announces the changes that a books.Store makes to the caches, before the store returns.
package announce

import (
	"context"

	"bookstore/services/books"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
)

// Store is store with its changes announced by relay before each method returns.
func Store(store books.Store, relay *outbox.Relay) books.Store {
	announce := func(ctx context.Context, f coherence.Floor) { relay.Tell(ctx, f) }
	return announced{observed{store, announce}, relay}
}

// observed calls changed after each change, with the book's new versions.
type observed struct {
	books.Store

	changed func(context.Context, coherence.Floor)
}

// Create implements books.Store.
func (s observed) Create(ctx context.Context, draft books.Draft) (books.Book, error) {
	book, err := s.Store.Create(ctx, draft)
	return book, s.book(ctx, book, err)
}

// Edit implements books.Store.
func (s observed) Edit(ctx context.Context, id int64, ifVersion *int64, edit func(books.Entry) (books.Entry, error)) (books.Book, error) {
	book, err := s.Store.Edit(ctx, id, ifVersion, edit)
	return book, s.book(ctx, book, err)
}

// PutBySource implements books.Store.
func (s observed) PutBySource(ctx context.Context, record books.SourceDraft) (books.SourceResult, error) {
	result, err := s.Store.PutBySource(ctx, record)
	return result, s.book(ctx, result.Book, err)
}

func (s observed) book(ctx context.Context, b books.Book, err error) error {
	if err == nil {
		s.changed(ctx, coherence.Floor{BookID: b.ID, Version: b.Version, StockVersion: b.StockVersion})
	}
	return err
}

// Delete implements books.Store. It announces coherence.Gone.
func (s observed) Delete(ctx context.Context, id int64, ifVersion *int64) error {
	err := s.Store.Delete(ctx, id, ifVersion)
	if err == nil {
		s.changed(ctx, coherence.Floor{BookID: id, Version: coherence.Gone, StockVersion: coherence.Gone})
	}
	return err
}

// Adjust implements books.Store.
func (s observed) Adjust(ctx context.Context, id, delta int64) (books.Availability, error) {
	left, err := s.Store.Adjust(ctx, id, delta)
	if err == nil {
		s.changed(ctx, coherence.Floor{BookID: id, StockVersion: left.StockVersion})
	}
	return left, err
}

// announced is observed, and announces the changes of work under a key once they are committed.
type announced struct {
	observed

	relay *outbox.Relay
}

// Once implements books.Store. A replay announces everything in the outbox, because the process that made the change may have
// been killed before it announced it.
func (s announced) Once(ctx context.Context, key books.Key, work books.Work) (books.Outcome, bool, error) {
	var changes []coherence.Floor
	collect := func(_ context.Context, f coherence.Floor) { changes = append(changes, f) }
	outcome, replayed, err := s.Store.Once(ctx, key, func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		outcome, refused, err := work(ctx, observed{store, collect})
		if refused {
			changes = nil
		}
		return outcome, refused, err
	})
	switch {
	case err != nil:
	case replayed:
		err = s.relay.CatchUp(ctx)
	default:
		s.relay.Tell(ctx, changes...)
	}
	return outcome, replayed, err
}
