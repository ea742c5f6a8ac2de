// Package console is how the operator's command speaks: stages, lines, tables, JSON, and signs of life while it waits.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Console writes to one stream. What a program is to read (JSON) goes there alone.
type Console struct{ Out io.Writer }

// A console that cannot be written to is nothing that a caller could mend: errors are passed over.

// Stagef begins a part that a reader looks for.
func (c Console) Stagef(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, "\n\033[1m== "+format+"\033[0m\n", args...)
}

// Sayf writes a line about the stage.
func (c Console) Sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, "  "+format+"\n", args...)
}

// Linef writes a line that is the answer itself.
func (c Console) Linef(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, format+"\n", args...)
}

// Table writes rows in columns; the first is the head.
func (c Console) Table(rows ...[]any) {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				_, _ = fmt.Fprint(w, "\t")
			}
			_, _ = fmt.Fprint(w, cell)
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// JSON writes a value for programs.
func (c Console) JSON(value any) error {
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// Wait says what is waited for, how long at most, and what to do when that was not enough.
type Wait struct {
	For   string
	Limit time.Duration
	Hint  string
	Every time.Duration // between two looks; half a second if it is 0
}

// Wait looks until nothing is left, and writes what is: when it changes, and every ten seconds. An error of look ends it.
func (c Console) Wait(ctx context.Context, w Wait, look func(context.Context) (left string, err error)) error {
	if w.Every == 0 {
		w.Every = time.Second / 2
	}
	begin, said, last := time.Now(), time.Time{}, ""
	for {
		left, err := look(ctx)
		if err != nil || left == "" {
			return err
		}
		if took := time.Since(begin); took >= w.Limit {
			err := fmt.Errorf("%s took more than %.0f s: %s", w.For, w.Limit.Seconds(), left)
			if w.Hint != "" {
				err = fmt.Errorf("%w; %s", err, w.Hint)
			}
			return err
		}
		if left != last || time.Since(said) >= 10*time.Second {
			c.Sayf("%3.0fs %s", time.Since(begin).Seconds(), left)
			last, said = left, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.Every):
		}
	}
}
