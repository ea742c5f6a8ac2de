// Package announce announces the changes of a books.Store to the caches.
package announce

import (
	"context"

	"bookstore/services/books"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
)

// Store is store with its changes announced by relay before it returns.
func Store(store books.Store, relay *outbox.Relay) books.Store {
	tell := func(ctx context.Context, f coherence.Floor) { relay.Tell(ctx, f) }
	return announced{observed{store, tell}, relay}
}

// observed calls changed after each change, with how the book stands then.
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

// Delete implements books.Store. Its announcement's floor is coherence.Gone.
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

// announced is observed, and knows when work under a key is committed.
type announced struct {
	observed

	relay *outbox.Relay
}

// Once implements books.Store. The process that made a change may have been killed before it announced the change. So a
// replay announces everything in the outbox.
func (s announced) Once(ctx context.Context, key books.Key, work books.Work) (books.Outcome, bool, error) {
	var made []coherence.Floor
	note := func(_ context.Context, f coherence.Floor) { made = append(made, f) }
	outcome, replayed, err := s.Store.Once(ctx, key, func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		outcome, refused, err := work(ctx, observed{store, note})
		if refused {
			made = nil
		}
		return outcome, refused, err
	})
	switch {
	case err != nil:
	case replayed:
		err = s.relay.CatchUp(ctx)
	default:
		s.relay.Tell(ctx, made...)
	}
	return outcome, replayed, err
}
