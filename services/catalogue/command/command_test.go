package command

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const file = "book_id,isbn,authors,original_publication_year,title,language_code,average_rating,ratings_count\n" +
	"1,439023483,A,2001.0,One,eng,,\n" +
	",,A,2001,No id,eng,,\n"

func runImport(t *testing.T, status int) (stdout, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "books.csv")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"BOOKSTORE_TOKEN": "t"}[name] }
	var out, errs bytes.Buffer
	err = run(t.Context(), []string{"import", "-base", server.URL, path}, getenv, &out, &errs)
	return out.String(), errs.String(), err
}

func TestImportPrintsASummaryAndToleratesBadRows(t *testing.T) {
	t.Parallel()
	stdout, stderr, err := runImport(t, http.StatusCreated)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout, "2 rows: 1 created, 0 updated, 0 unchanged, 0 withdrawn, 0 refused, 1 bad\n") ||
		!strings.Contains(stdout, "1  isbn: leading zeros restored") {
		t.Errorf("stdout %q", stdout)
	}
	if !strings.Contains(stderr, "line 3: no book_id\n") || !strings.Contains(stderr, "100 %  2 rows") {
		t.Errorf("stderr %q", stderr)
	}
}

func TestImportFailsWhenTheShopRefuses(t *testing.T) {
	t.Parallel()
	stdout, _, err := runImport(t, http.StatusForbidden)
	if !errors.Is(err, errRefused) || !strings.Contains(stdout, "1 refused") {
		t.Errorf("%v, stdout %q", err, stdout)
	}
}

func TestImportExplainsItsArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"export"}, {"import"}, {"import", "a", "b"}, {"import", "-workers", "0", "a"}} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, func(string) string { return "" }, &out, &errs); err == nil {
			t.Errorf("%q accepted", args)
		}
	}
}

func TestNothingPrintedMovesATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"café \u66f8\u7c4d \"q\" 'a' \\": "café \u66f8\u7c4d \"q\" 'a' \\", "a\x1b[2Jb": `a\x1b[2Jb`, "a\nb\r\t\x00": `a\nb\r\t\x00`, "a\u202eb\u200b": `a\u202eb\u200b`,
		"\xff\x9b": `\xff\x9b`, "\u009b": `\u009b`, "\u2028": `\u2028`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
