package catalogue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// Summary counts what an import did.
type Summary struct {
	Rows      int // rows of the file, bad ones included
	Skipped   int // of these, those before Importer.From
	Bad       int // rows that name no book, see BadRow
	Created   int
	Updated   int
	Unchanged int
	Withdrawn int // books that people withdrew: they stay withdrawn
	Refused   int // entries that the shop refused
	Mended    map[Mend]int
	Kept      map[string]int // books by field that people edited and the file did not change
	Conflicts map[string]int // books by field that both changed: the edit stays
	Resume    int            // the first line that may not be loaded; 0: all are
}

// Importer loads one file. Report is called, by one goroutine at a time, for every bad row,
// refusal, edit that is kept, and field that was dropped.
type Importer struct {
	Client   *Client
	Workers  int    // calls in flight, and entries in memory
	Encoding string // of the file, see NewReader
	From     int    // rows that begin before this line are only read; 0: none
	Report   func(line int, reason string)

	rows    atomic.Int64
	mu      sync.Mutex
	sum     Summary
	pending map[int]bool // lines of the entries that are not loaded yet
}

// Rows is the number of rows handled so far.
func (im *Importer) Rows() int64 { return im.rows.Load() }

// Run reads in to its end. Bad rows and refusals are reported, counted and skipped. An error
// means that the import stopped: ctx ended, the file cannot be read, or the shop does not
// answer. Calls in flight are finished then, and Summary.Resume is the line to resume from.
// Resuming earlier does no harm: what is loaded stays unchanged.
func (im *Importer) Run(ctx context.Context, in io.Reader) (Summary, error) {
	im.sum = Summary{Mended: map[Mend]int{}, Kept: map[string]int{}, Conflicts: map[string]int{}}
	im.pending = map[int]bool{}
	reader, err := NewReader(in, im.Encoding)
	if err != nil {
		return im.sum, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	entries := make(chan Entry)
	var workers sync.WaitGroup
	for range im.Workers {
		workers.Go(func() {
			for e := range entries {
				if err := im.put(ctx, e); err != nil {
					stop(err)
				}
			}
		})
	}
	if err := im.feed(ctx, reader, entries); err != nil {
		stop(err)
	}
	close(entries)
	workers.Wait()
	if err = context.Cause(ctx); err != nil {
		im.sum.Resume = reader.Position()
		for line := range im.pending {
			im.sum.Resume = min(im.sum.Resume, line)
		}
	}
	return im.sum, err
}

// feed hands the entries to the workers.
func (im *Importer) feed(ctx context.Context, reader *Reader, entries chan<- Entry) error {
	for ctx.Err() == nil {
		e, err := reader.Next()
		var bad *BadRow
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			im.bad(bad)
			continue
		case err != nil:
			return fmt.Errorf("read the file: %w", err)
		}
		if e.Line < im.From {
			im.skip()
			continue
		}
		im.mu.Lock()
		im.pending[e.Line] = true
		im.mu.Unlock()
		select {
		case entries <- e:
		case <-ctx.Done():
		}
	}
	return nil
}

func (im *Importer) skip() {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Rows++
	im.sum.Skipped++
	im.rows.Add(1)
}

func (im *Importer) bad(row *BadRow) {
	if row.Line < im.From {
		im.skip()
		return
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Rows++
	im.sum.Bad++
	im.rows.Add(1)
	im.Report(row.Line, row.Reason)
}

// optional are the fields that a book may lack: when the shop refuses one, the book is sent
// again without it.
var optional = []struct {
	field string
	given func(*Entry) bool
	drop  func(*Entry)
	mend  Mend
}{
	{"isbn", func(e *Entry) bool { return e.ISBN != "" }, func(e *Entry) { e.ISBN = "" }, ISBNTakenDropped},
	{"publishedYear", func(e *Entry) bool { return e.PublishedYear != nil }, func(e *Entry) { e.PublishedYear = nil }, YearRefused},
	{"language", func(e *Entry) bool { return e.Language != "" }, func(e *Entry) { e.Language = "" }, LanguageRefused},
}

// put loads one entry, which stays pending if the import stops first.
func (im *Importer) put(ctx context.Context, e Entry) error {
	select {
	case <-ctx.Done():
		return nil // stopped already: the first cause is reported
	default:
	}
	result, err := im.Client.Put(ctx, e)
	var p *Problem
	for _, o := range optional {
		if errors.As(err, &p) && o.given(&e) && p.names(o.field) {
			o.drop(&e)
			e.Mended = append(e.Mended, o.mend)
			result, err = im.Client.Put(ctx, e)
		}
	}
	if err != nil && !errors.As(err, &p) {
		return fmt.Errorf("line %d (book_id %q): %w", e.Line, e.SourceID, err)
	}
	im.count(e, result, p, err)
	return nil
}

func (im *Importer) count(e Entry, result Result, p *Problem, err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	delete(im.pending, e.Line)
	im.sum.Rows++
	im.rows.Add(1)
	for _, m := range e.Mended {
		im.sum.Mended[m]++
		switch {
		case m == AuthorsCut:
			im.Report(e.Line, fmt.Sprintf("%s: %d", m, e.LeftOut))
		case m.loses():
			im.Report(e.Line, string(m))
		}
	}
	im.countEdits(e, result)
	switch {
	case err != nil:
		im.sum.Refused++
		im.Report(e.Line, fmt.Sprintf("the shop refused book_id %q: %s", e.SourceID, p.Error()))
	case result.Outcome == Created:
		im.sum.Created++
	case result.Outcome == Updated:
		im.sum.Updated++
	case result.Outcome == Withdrawn:
		im.sum.Withdrawn++
		im.Report(e.Line, fmt.Sprintf("book_id %q was withdrawn from the shop, and stays so", e.SourceID))
	default:
		im.sum.Unchanged++
	}
}

// countEdits counts and reports the fields that stay as people edited them.
func (im *Importer) countEdits(e Entry, result Result) {
	for _, field := range result.Kept {
		im.sum.Kept[field]++
	}
	for _, field := range result.Conflicts {
		im.sum.Conflicts[field]++
	}
	if len(result.Kept) > 0 {
		im.Report(e.Line, fmt.Sprintf("book_id %q was edited in the shop, which is kept: %s", e.SourceID, strings.Join(result.Kept, ", ")))
	}
	if len(result.Conflicts) > 0 {
		im.Report(e.Line, fmt.Sprintf("book_id %q was edited in the shop and has changed in the file; the edit is kept: %s",
			e.SourceID, strings.Join(result.Conflicts, ", ")))
	}
}
