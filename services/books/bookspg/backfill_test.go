package bookspg

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// Books from before the search are found once the migrations are through, those
// that are deleted are not.
func TestBooksFromBeforeTheSearchAreFound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	before := migrationsBefore(t, "00008")
	dsn := pgtest.DSN(t, before)
	pool := pgtest.Pool(t, dsn)
	if _, err := pool.Exec(ctx, manyBooks); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "update books set title = 'Café', deleted_at = case when id > 990 then now() end where id > 900"); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(ctx, config, Migrations); err != nil {
		t.Fatal(err)
	}
	page := mustList(t, New(pool), books.Filter{Text: "cafe"}, 100)
	if len(page.Books) != 90 || page.Near != 0 {
		t.Errorf("found %d, %d of them near", len(page.Books), page.Near)
	}
	var indexed int
	if err := pool.QueryRow(ctx, "select count(*) from book_search").Scan(&indexed); err != nil {
		t.Fatal(err)
	}
	if indexed != 990 {
		t.Errorf("%d books are in the search, want 990", indexed)
	}
}

// migrationsBefore are those whose names come before one.
func migrationsBefore(t *testing.T, first string) fstest.MapFS {
	t.Helper()
	before := fstest.MapFS{}
	files, err := fs.Glob(Migrations, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name < first {
			text, err := fs.ReadFile(Migrations, name)
			if err != nil {
				t.Fatal(err)
			}
			before[name] = &fstest.MapFile{Data: text}
		}
	}
	return before
}
