// Command catalogue loads a catalogue file into the shop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"bookstore/services/catalogue"
)

const usage = `usage: catalogue import [-base URL] [-workers N] FILE.csv
Loads a catalogue in the goodbooks-10k column layout. The token that catalogue writes may
need is taken from BOOKSTORE_TOKEN`

var errUsage = errors.New(usage)

// errRefused ends a run in which all rows were tried and the shop refused some.
var errRefused = errors.New("the shop refused some of the books")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "import" {
		return errUsage
	}
	flags := flag.NewFlagSet("catalogue import", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = fmt.Fprintln(stderr, usage); flags.PrintDefaults() }
	base := flags.String("base", "http://127.0.0.1:8080", "base address of the shop's API")
	workers := flags.Int("workers", 8, "calls in flight, 1 to 64")
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read the arguments: %w", err)
	}
	if flags.NArg() != 1 || *workers < 1 || *workers > 64 {
		return errUsage
	}
	client, err := catalogue.NewClient(*base, getenv("BOOKSTORE_TOKEN"), *workers)
	if err != nil {
		return err
	}
	file, err := os.Open(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("open the catalogue: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return load(ctx, client, *workers, file, stdout, stderr)
}

// load runs the import with its progress on stderr and its summary on stdout.
func load(ctx context.Context, client *catalogue.Client, workers int, file *os.File, stdout, stderr io.Writer) error {
	terminal := catalogue.IsTerminal(stderr)
	importer := &catalogue.Importer{Client: client, Workers: workers, Report: func(line int, reason string) {
		wipe := ""
		if terminal {
			wipe = "\r\x1b[K"
		}
		_, _ = fmt.Fprintf(stderr, "%sline %d: %s\n", wipe, line, reason)
	}}
	in := &catalogue.CountingReader{In: file}
	progress := &catalogue.Progress{
		Out: stderr, Terminal: terminal, Bytes: in.Bytes, Rows: importer.Rows, Started: time.Now(),
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		progress.Total = info.Size()
	}
	drawing, stop := context.WithCancel(ctx)
	drawn := make(chan struct{})
	go func() { defer close(drawn); progress.Run(drawing) }()
	sum, err := importer.Run(ctx, in)
	stop()
	<-drawn
	printSummary(stdout, sum)
	if err != nil {
		return fmt.Errorf("import stopped: %w; running it again doubles nothing", err)
	}
	if sum.Refused > 0 {
		return errRefused
	}
	return nil
}

func printSummary(out io.Writer, sum catalogue.Summary) {
	mends := make([]catalogue.Mend, 0, len(sum.Mended))
	for m := range sum.Mended {
		mends = append(mends, m)
	}
	slices.Sort(mends)
	_, _ = fmt.Fprintf(out, "%d rows: %d created, %d updated, %d unchanged, %d refused, %d bad\n",
		sum.Rows, sum.Created, sum.Updated, sum.Unchanged, sum.Refused, sum.Bad)
	for _, m := range mends {
		_, _ = fmt.Fprintf(out, "  %6d  %s\n", sum.Mended[m], m)
	}
}
