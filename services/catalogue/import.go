package catalogue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Summary counts what an import did.
type Summary struct {
	Rows      int // rows of the file, bad ones included
	Bad       int // rows that name no book, see BadRow
	Created   int
	Updated   int
	Unchanged int
	Refused   int // entries the shop said no to
	Mended    map[Mend]int
}

// Importer loads one file. Report is called for every bad row and refusal, never from two
// goroutines at once.
type Importer struct {
	Client  *Client
	Workers int // calls in flight, and entries in memory
	Report  func(line int, reason string)

	rows atomic.Int64
	mu   sync.Mutex
	sum  Summary
}

// Rows is how many rows are done so far.
func (im *Importer) Rows() int64 { return im.rows.Load() }

// Run reads in to its end. Bad rows and refusals are reported, counted and passed over; an
// error means that the import stopped: the file cannot be read, or the shop gives no
// answer. Running it again continues where that matters: what is loaded stays unchanged.
func (im *Importer) Run(ctx context.Context, in io.Reader) (Summary, error) {
	im.sum = Summary{Mended: map[Mend]int{}}
	reader, err := NewReader(in)
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
	return im.sum, context.Cause(ctx)
}

// feed hands the entries to the workers.
func (im *Importer) feed(ctx context.Context, reader *Reader, entries chan<- Entry) error {
	for {
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
		select {
		case entries <- e:
		case <-ctx.Done():
			return nil
		}
	}
}

func (im *Importer) bad(row *BadRow) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Rows++
	im.sum.Bad++
	im.rows.Add(1)
	im.Report(row.Line, row.Reason)
}

// put loads one entry. An ISBN that another book of the shop holds is no reason to leave
// the book out: it is sent again without.
func (im *Importer) put(ctx context.Context, e Entry) error {
	select {
	case <-ctx.Done():
		return nil // stopped already: the cause is reported, not its echoes
	default:
	}
	outcome, err := im.Client.Put(ctx, e)
	var p *Problem
	if errors.As(err, &p) && e.ISBN != "" && p.names("isbn") {
		e.ISBN = ""
		e.Mended = append(e.Mended, ISBNTakenDropped)
		outcome, err = im.Client.Put(ctx, e)
	}
	if err != nil && !errors.As(err, &p) {
		return fmt.Errorf("line %d (book_id %s): %w", e.Line, e.SourceID, err)
	}
	im.count(e, outcome, p, err)
	return nil
}

func (im *Importer) count(e Entry, outcome Outcome, p *Problem, err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Rows++
	im.rows.Add(1)
	for _, m := range e.Mended {
		im.sum.Mended[m]++
		if m == ISBNDuplicateDropped || m == ISBNTakenDropped || m == ISBNDropped {
			im.Report(e.Line, string(m))
		}
	}
	switch {
	case err != nil:
		im.sum.Refused++
		im.Report(e.Line, fmt.Sprintf("the shop refused book_id %s: %s", e.SourceID, p.Error()))
	case outcome == Created:
		im.sum.Created++
	case outcome == Updated:
		im.sum.Updated++
	default:
		im.sum.Unchanged++
	}
}
