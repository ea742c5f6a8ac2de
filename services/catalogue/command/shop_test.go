package command

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bookstore/services/books"
	"bookstore/services/books/bookshttp"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/platform/web/webtest"
)

// TestMain is also the command itself, for tests that send it signals.
func TestMain(m *testing.M) {
	if os.Getenv("CATALOGUE_MAIN") != "" {
		os.Exit(Main(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
	}
	pgtest.Main(m, webtest.Leaks()...)
}

// realShop is the books service on a database of its own.
func realShop(t *testing.T) (base string, store *bookspg.Store) {
	t.Helper()
	store = bookspg.New(pgtest.Database(t, bookspg.Migrations))
	app := web.New(web.Options{Service: "books"})
	bookshttp.Routes(app, store, time.Now)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Error(err)
		}
		<-served
	})
	return "http://" + listener.Addr().String(), store
}

// imported loads a file and returns what was printed.
func imported(t *testing.T, base, content string, flags ...string) (stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "books.csv")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	args := append(append([]string{"import", "-base", base}, flags...), path)
	if err := run(t.Context(), args, func(string) string { return "" }, &out, &errs); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return out.String(), errs.String()
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %s", part, text)
		}
	}
}

// What people did in the shop outlives every later import.
func TestASecondImportKeepsWhatPeopleDid(t *testing.T) {
	t.Parallel()
	base, store := realShop(t)
	const first = "book_id,title,authors\n/works/1,Priced,A\n2,Retitled,A\n3,Withdrawn,A\n4,Left alone,A\n"
	stdout, _ := imported(t, base, first)
	wantIn(t, stdout, "4 rows: 4 created, 0 updated, 0 unchanged, 0 withdrawn, 0 refused, 0 bad")
	page, err := store.List(t.Context(), books.Query{Sort: "id", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int64{}
	for _, b := range page.Books {
		ids[b.SourceID] = b.ID
	}
	edit := func(id int64, change func(*books.Entry)) {
		t.Helper()
		if _, err := store.Edit(t.Context(), id, nil, func(e books.Entry) (books.Entry, error) { change(&e); return e, nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit(ids["/works/1"], func(e *books.Entry) { e.PriceCents, e.Currency, e.ISBN = 8950, "GBP", "0141439580" })
	edit(ids["2"], func(e *books.Entry) { e.Title = "By hand" })
	if err := store.Delete(t.Context(), ids["3"], nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		stdout, stderr := imported(t, base, first)
		wantIn(t, stdout, "4 rows: 0 created, 0 updated, 3 unchanged, 1 withdrawn, 0 refused, 0 bad", "1  priceCents: edited in the shop, kept",
			"1  isbn: edited in the shop, kept", "1  title: edited in the shop, kept")
		wantIn(t, stderr, `line 4: book_id "3" was withdrawn`, `line 3: book_id "2" was edited in the shop, which is kept: title`)
	}
	stdout, stderr := imported(t, base, strings.Replace(strings.Replace(first, "Retitled", "New in the file", 1), "Left alone", "Also new", 1))
	wantIn(t, stdout, "4 rows: 0 created, 1 updated, 2 unchanged, 1 withdrawn", "title: edited in the shop and changed in the file, the edit kept")
	wantIn(t, stderr, `line 3: book_id "2" was edited in the shop and has changed in the file; the edit is kept: title`)
	for id, want := range map[string]string{"/works/1": "Priced 8950 GBP 0141439580", "2": "By hand", "4": "Also new"} {
		b, err := store.Get(t.Context(), ids[id])
		if got := fmt.Sprint(b.Title, " ", b.PriceCents, " ", b.Currency, " ", b.ISBN); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s is %s, %v; want %s", id, got, err, want)
		}
	}
}

// Files as people have them, into the real service.
func TestBooksAreLoadedFromWhatPeopleHave(t *testing.T) {
	t.Parallel()
	base, store := realShop(t)
	var names []string
	for i := range 1030 {
		names = append(names, fmt.Sprint("Contributor ", i))
	}
	stdout, stderr := imported(t, base, "book_id;isbn;authors;original_publication_year;title;language_code;;\r\n"+
		"/works/OL1W;;Ann;2050;Too late;eng\r\n"+
		"10.5555/1;;Ann;-9999;Too early;eng;;\r"+
		"..;;Ann;0;No year;xx-yy-zz\n"+
		"shelf\\7 %2F?#;0306406152;"+strings.Join(names, ", ")+";1999;Many;eng\n"+
		"\u66f8\u7c4d;0306406152;Ann;1e3;Taken;eng\n"+
		"6;;Ann;2001;\"Unclosed;eng\n"+
		"in\x1b[2J;;Ann;2001;Escape;eng\n"+
		"8;;Ann;2001;\u200b;eng\n")
	wantIn(t, stdout, "8 rows: 5 created, 0 updated, 0 unchanged, 0 withdrawn, 0 refused, 3 bad", "2  year: too early or too late for the shop",
		"1  year: there is no year 0", "1  year: not written as a year", "1  authors: more than 1000", "1  isbn: already in this file")
	wantIn(t, stderr, "line 5: authors: more than 1000, the others left out: 30", "line 7: ", `line 8: book_id "in\x1b[2J"`, `line 9: no title that can be seen: "\u200b"`)
	if strings.ContainsAny(stdout+stderr, "\x1b\r\u200b") {
		t.Errorf("a terminal would be moved by %q%q", stdout, stderr)
	}
	page, err := store.List(t.Context(), books.Query{Sort: "id", Limit: 10})
	if err != nil || len(page.Books) != 5 {
		t.Fatalf("%d books, %v", len(page.Books), err)
	}
	for _, b := range page.Books {
		if b.Title == "Many" && len(b.Authors) != 1000 {
			t.Errorf("%d authors", len(b.Authors))
		}
		if b.Title != "Many" && b.PublishedYear != nil {
			t.Errorf("%s is of %d", b.Title, *b.PublishedYear)
		}
	}
}

// Ctrl-C finishes the calls under way, says where to go on, and is told by the exit code.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	arrived, letGo := make(chan struct{}, 8), make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-letGo
		w.WriteHeader(http.StatusCreated)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	path := filepath.Join(t.TempDir(), "books.csv")
	if err := os.WriteFile(path, []byte("book_id,title,authors\n1,T,A\n2,T,A\n3,T,A\n4,T,A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// start starts an import, interrupts it, and returns it when it has noticed.
	start := func() (cmd *exec.Cmd, rest *bufio.Reader) {
		cmd = exec.CommandContext(ctx, os.Args[0], "import", "-base", "http://"+listener.Addr().String(), "-workers", "2", path)
		cmd.Env = append(os.Environ(), "CATALOGUE_MAIN=1")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-arrived
		<-arrived
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		rest = bufio.NewReader(stderr)
		for line := ""; !strings.Contains(line, "finishing the calls under way"); {
			if line, err = rest.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		return cmd, rest
	}
	twice, _ := start()
	if err := twice.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = twice.Wait()
	if status, ok := twice.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
		t.Errorf("two signals, and no answer from the shop: %v", twice.ProcessState)
	}
	once, rest := start()
	close(letGo)
	text, err := io.ReadAll(rest)
	if err != nil {
		t.Fatal(err)
	}
	_ = once.Wait()
	if once.ProcessState.ExitCode() != 130 {
		t.Errorf("exit code %d", once.ProcessState.ExitCode())
	}
	wantIn(t, string(text), "interrupted: what is loaded stays; go on with -from 4")
}
