package bookspg

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// unspaced are titles and authors in scripts that are written without spaces
// between words, with searches that must find them.
var unspaced = []struct {
	title    string
	authors  []string
	searches []string
}{
	// Vowel and tone marks that stand between two letters.
	{"เจ้าชายน้อย", []string{"อองตวน เดอ แซงแตกซูเปรี"}, []string{"เจ้าชายน้อย", "น้อย", "เจ้าชาย", "ชาย", "อองตวน"}},
	{"ສູ່ຂວັນເດັກນ້ອຍ", []string{"ລາວ"}, []string{"ສູ່ຂວັນ", "ເດັກນ້ອຍ", "ນ້ອຍ"}},
	{"ព្រះអង្គម្ចាស់តូច", []string{"ខ្មែរ"}, []string{"ព្រះអង្គម្ចាស់តូច", "ម្ចាស់", "តូច"}},
	{"မင်းသားလေး", []string{"မြန်မာ"}, []string{"မင်းသားလေး", "သားလေး"}},
	{"རྒྱལ་སྲས་ཆུང་ངུ", []string{"བོད་ཡིག"}, []string{"རྒྱལ་སྲས", "ཆུང་ངུ", "ཡིག"}},
	// What begins after the first sixty characters.
	{
		strings.Repeat("異世界転生", 14) + "魔術師の物語", []string{"長谷川"}, []string{"魔術師", "物語", "異世界"},
	},
	{"選集", append(strings.Fields(strings.Repeat("王小明 ", 40)), "黃美麗", "歐陽修"), []string{"歐陽修", "黃美麗 選集"}},
	// What stands between words there is no bound of them.
	{"三体：黑暗森林", []string{"刘慈欣"}, []string{"三体 黑暗", "三体：黑暗森林", "体黑"}},
}

func addUnspaced(t *testing.T, store *Store) {
	t.Helper()
	for _, u := range unspaced {
		draft := books.Draft{Entry: books.Entry{Title: u.title, Authors: u.authors, PriceCents: 1, Currency: "EUR"}}
		if _, err := store.Create(context.Background(), draft); err != nil {
			t.Fatal(err)
		}
	}
}

func findUnspaced(t *testing.T, store *Store) {
	t.Helper()
	for _, u := range unspaced {
		for _, search := range u.searches {
			page := mustList(t, store, books.Filter{Text: search}, 5)
			if len(page.Books) != 1 || page.Near != 0 || page.Books[0].Title != u.title {
				t.Errorf("%q finds %d books, %d of them near: want %q", search, len(page.Books), page.Near, u.title)
			}
		}
	}
}

func TestScriptsWithoutSpacesAreFound(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	addUnspaced(t, store)
	findUnspaced(t, store)
}

// Books that an earlier version indexed without their marks are indexed anew.
func TestBooksInScriptsWithoutSpacesAreIndexedAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := pgtest.DSN(t, migrationsBefore(t, "00011"))
	store := New(pgtest.Pool(t, dsn))
	addUnspaced(t, store)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(ctx, config, Migrations); err != nil {
		t.Fatal(err)
	}
	findUnspaced(t, store)
}

// The longest lists of authors that the API takes are indexed within the time of
// a call, as far as the index has room: the title and the first authors always.
func TestABookOfVeryManyNamesIsIndexed(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	names := map[string]func(i int) string{
		"joined":     func(i int) string { return strings.Repeat(fmt.Sprintf("abcdefghij%dklmnopqrstuvwxyz-", i), 4) + "z" },
		"initials":   func(i int) string { return fmt.Sprint(i) + strings.Repeat(".a.b.c.d.e", 12) },
		"separate":   func(i int) string { return fmt.Sprint(i) + strings.Repeat(" x y z", 20) },
		"characters": func(i int) string { return strings.Repeat(string(rune('一'+i)), 30) + string(rune('丁'+i)) },
	}
	for name, author := range names {
		authors := []string{"First Person"}
		for i := range 999 {
			authors = append(authors, author(i))
		}
		draft := books.Draft{Entry: books.Entry{Title: "Very many " + name, Authors: authors, PriceCents: 1, Currency: "EUR"}}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, err := store.Create(ctx, draft)
		cancel()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if page := mustList(t, store, books.Filter{Text: "very many " + name + " first person"}, 5); len(page.Books) != 1 {
			t.Errorf("%s: found %d times", name, len(page.Books))
		}
	}
}
