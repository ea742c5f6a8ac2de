// Package command is the command `catalogue`: it reads the arguments, loads a file with package catalogue, and prints
// progress, what is wrong with rows, and a summary.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"bookstore/services/catalogue"
)

const usage = `usage: catalogue import [-base URL] [-workers N] [-encoding NAME] [-from LINE] FILE.csv
Loads a catalogue in the goodbooks-10k column layout. The token that catalogue writes may
need is taken from BOOKSTORE_TOKEN. Ctrl-C finishes the calls under way and says where to go
on; a second one ends at once`

var errUsage = errors.New(usage)

// errInterrupted ends a run that somebody stopped.
var errInterrupted = errors.New("interrupted")

// exitInterrupted is 128 and the number of SIGINT, as shells have it.
const exitInterrupted = 130

// errRefused ends a run in which all rows were tried and the shop refused some.
var errRefused = errors.New("the shop refused some of the books")

// Main runs the command until it is done or SIGINT or SIGTERM stops it, and returns the exit code. The first signal lets
// the calls under way finish; a second one ends the process.
func Main(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	silence := context.AfterFunc(ctx, func() {
		stop()
		_, _ = fmt.Fprintln(stderr, "\ncatalogue: finishing the calls under way; Ctrl-C once more ends at once")
	})
	err := run(ctx, args, getenv, stdout, stderr)
	silence()
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			_, _ = fmt.Fprintln(stderr, "catalogue:", printable(line))
		}
	}
	switch {
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case err != nil:
		return 1
	}
	return 0
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
	encoding := flags.String("encoding", "", "encoding of the file, such as windows-1252, when it is neither UTF-8 nor UTF-16")
	from := flags.Int("from", 0, "line to go on from: rows before it are read and not sent")
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
	defer client.Close()
	file, err := os.Open(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("open the catalogue: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	importer := &catalogue.Importer{Client: client, Workers: *workers, Encoding: *encoding, From: *from}
	return load(ctx, importer, file, stdout, stderr)
}

// load runs the import with its progress on stderr and its summary on stdout.
func load(ctx context.Context, importer *catalogue.Importer, file *os.File, stdout, stderr io.Writer) error {
	terminal := isTerminal(stderr)
	importer.Report = func(line int, reason string) {
		wipe := ""
		if terminal {
			wipe = "\r\x1b[K"
		}
		_, _ = fmt.Fprintf(stderr, "%sline %d: %s\n", wipe, line, printable(reason))
	}
	in := &countingReader{in: file}
	p := &progress{out: stderr, terminal: terminal, bytes: in.bytes, rows: importer.Rows, started: time.Now()}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		p.total = info.Size()
	}
	drawing, stop := context.WithCancel(context.WithoutCancel(ctx)) // to the end of the calls under way
	drawn := make(chan struct{})
	go func() { defer close(drawn); p.run(drawing) }()
	sum, err := importer.Run(ctx, in)
	stop()
	<-drawn
	printSummary(stdout, sum)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: what is loaded stays; go on with -from %d", errInterrupted, sum.Resume)
	case err != nil && sum.Resume > 0:
		return fmt.Errorf("import stopped: %w; what is loaded stays, go on with -from %d", err, sum.Resume)
	case err != nil:
		return fmt.Errorf("import stopped: %w", err)
	}
	if sum.Refused > 0 {
		return errRefused
	}
	return nil
}

func printSummary(out io.Writer, sum catalogue.Summary) {
	_, _ = fmt.Fprintf(out, "%d rows: %d created, %d updated, %d unchanged, %d withdrawn, %d refused, %d bad\n",
		sum.Rows, sum.Created, sum.Updated, sum.Unchanged, sum.Withdrawn, sum.Refused, sum.Bad)
	if sum.Skipped > 0 {
		printCount(out, sum.Skipped, "before the line to go on from: read and not sent")
	}
	for _, m := range slices.Sorted(maps.Keys(sum.Mended)) {
		printCount(out, sum.Mended[m], string(m))
	}
	for _, field := range slices.Sorted(maps.Keys(sum.Kept)) {
		printCount(out, sum.Kept[field], field+": edited in the shop, kept")
	}
	for _, field := range slices.Sorted(maps.Keys(sum.Conflicts)) {
		printCount(out, sum.Conflicts[field], field+": edited in the shop and changed in the file, the edit kept")
	}
}

func printCount(out io.Writer, n int, what string) {
	_, _ = fmt.Fprintf(out, "  %6d  %s\n", n, what)
}

// printable writes text so that a terminal shows it and does nothing else: control and
// bidirectional characters, and all others that cannot be seen, are escaped.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}
