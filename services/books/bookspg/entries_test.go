package bookspg_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

func TestImportsOfOneNewBookAtOnceMakeOne(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	created := make([]bool, 8)
	for i := range created {
		wg.Go(func() {
			result, err := s.PutBySource(context.Background(), books.SourceDraft{Draft: draft(1, 5)})
			if err != nil {
				t.Error(err)
			}
			created[i] = result.Created
		})
	}
	wg.Wait()
	count := 0
	for _, c := range created {
		if c {
			count++
		}
	}
	if n := s.number("select count(*) from books"); n != 1 || count != 1 {
		t.Errorf("%d books, %d times created", n, count)
	}
	s.balanced()
}

func TestAnImportThatTakesAnothersISBNIsRefused(t *testing.T) {
	s := open(t)
	owner := draft(1, 1)
	owner.ISBN = "0141439580"
	if _, err := s.Create(context.Background(), owner); err != nil {
		t.Fatal(err)
	}
	thief := draft(2, 1)
	thief.ISBN = owner.ISBN
	_, err := s.PutBySource(context.Background(), books.SourceDraft{Draft: thief})
	if f := wantKind(t, err, fault.InvalidField); f.Fields[0].Field != "isbn" {
		t.Errorf("got %v", f.Fields)
	}
}

func TestConcurrentEditsOfOneVersionLoseNothing(t *testing.T) {
	s := open(t)
	s.add(1)
	version := int64(1)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Edit(context.Background(), 1, &version, func(e books.Entry) (books.Entry, error) {
				e.Title = fmt.Sprint("Edit ", i)
				return e, nil
			})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantKind(t, err, fault.VersionMismatch)
	}
	if won != 1 {
		t.Errorf("%d edits of one version won", won)
	}
}

func TestReadsOfWhatIsNotThere(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	_, err := s.Get(ctx, 1)
	wantKind(t, err, kinds.BookNotFound)
	_, err = s.Available(ctx, 1)
	wantKind(t, err, kinds.BookNotFound)
	wantKind(t, s.Delete(ctx, 1, nil), kinds.BookNotFound)
	s.add(1)
	if err := s.Delete(ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(ctx, 1)
	wantKind(t, err, kinds.BookGone)
	wantKind(t, s.Delete(ctx, 1, nil), kinds.BookGone)
}
