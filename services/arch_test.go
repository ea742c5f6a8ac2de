// Package services_test guards the shape of the tree: which package may know which.
package services_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "bookstore/services/"

// domains are the packages that hold rules and know no technology; their adapters live in
// folders beside them.
var domains = []string{"books", "orders", "payments", "checkout", "catalogue", "txn/twophase", "txn/saga"}

// technology must not reach into a domain, not even through another package. A path that
// ends in a slash stands for all below it.
var technology = []string{
	"github.com/gofiber/", "github.com/valyala/", "github.com/jackc/", "github.com/redis/",
	"github.com/pressly/", "database/sql",
}

// packages lists every package of the services with all that it imports, directly and
// through others.
func packages(t *testing.T, format string) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "e2e,bench,drill", "-f", "{{.ImportPath}} {{join "+format+` " "}}`, "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all[strings.TrimPrefix(words[0], module)] = words[1:]
	}
	return all
}

func TestDomainsKnowNoTechnology(t *testing.T) {
	t.Parallel()
	all := packages(t, ".Deps")
	for _, domain := range domains {
		deps, ok := all[domain]
		if !ok {
			t.Errorf("there is no package %s%s", module, domain)
		}
		for _, dep := range deps {
			for _, forbidden := range technology {
				if dep == forbidden || (strings.HasSuffix(forbidden, "/") && strings.HasPrefix(dep, forbidden)) {
					t.Errorf("%s depends on %s: that belongs into an adapter beside it", domain, dep)
				}
			}
		}
	}
}

// stores are the packages that know PostgreSQL besides those whose names end in pg: a participant is a database's, and
// HTTP packages register its branches and steps.
var stores = []string{"txn/participant"}

func isStore(name string) bool { return strings.HasSuffix(name, "pg") || slices.Contains(stores, name) }

// An HTTP package decodes, calls, and encodes. It reaches the database through a store's interface: neither its own
// imports nor those of other packages that are no stores lead to pgx, and of the stores it may import only these.
func TestHTTPPackagesKnowNoPostgreSQL(t *testing.T) {
	t.Parallel()
	imports, found := packages(t, ".Imports"), 0
	for name := range imports {
		if !strings.HasSuffix(name, "http") {
			continue
		}
		found++
		seen, next := map[string]bool{}, []string{name}
		for len(next) > 0 {
			from := next[0]
			next = next[1:]
			for _, path := range imports[from] {
				imported, ours := strings.CutPrefix(path, module)
				switch {
				case strings.HasPrefix(path, "github.com/jackc/"), isStore(imported) && ours && !slices.Contains(stores, imported):
					t.Errorf("%s reaches %s by %s", name, path, from)
				case ours && !isStore(imported) && !seen[imported]:
					seen[imported] = true
					next = append(next, imported)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("%d HTTP packages are not all of them", found)
	}
}

// shared are the folders that every service may use; shoptest is for tests.
var shared = []string{"platform", "txn", "cache", "shop", "shoptest"}

// Each service knows itself and what all share. Commands put services together, and
// nobody knows a command.
func TestServicesDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	for name, imports := range packages(t, ".Imports") {
		room, _, _ := strings.Cut(name, "/")
		for _, path := range imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours || room == "cmd" {
				continue
			}
			if other, _, _ := strings.Cut(imported, "/"); other != room && !slices.Contains(shared, other) {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

// The platform and the transactions are libraries: they import nothing of this shop.
func TestLibrariesKnowNoShop(t *testing.T) {
	t.Parallel()
	layers := map[string][]string{"platform": {"platform"}, "txn": {"txn", "platform"}, "cache": {"cache", "platform", "txn", "shop"}, "shop": {"shop", "platform"}}
	for name, imports := range packages(t, ".Imports") {
		room, _, _ := strings.Cut(name, "/")
		known, library := layers[room]
		for _, path := range imports {
			imported, ours := strings.CutPrefix(path, module)
			if other, _, _ := strings.Cut(imported, "/"); library && ours && !slices.Contains(known, other) {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

// shopWord is a word of the shop in code, SQL or a comment. An order that is a sequence
// ("in order", ORDER BY, inOrder) is none.
var shopWord = regexp.MustCompile(`\b[Bb]ooks?\b|Book[A-Z_]|\b[Bb]ook_|bookI[dD]|` +
	`\b[Oo]rders\b|[a-z]_order\b|\b[Oo]rder_|[Oo]rderI[dD]|\bOrder[A-Z]|\b[Aa]n order\b|` +
	`(?i:customer|isbn|checkout|payment|\bprices?\b|\bstocks?\b)|[a-z]Price|[a-z]Stock|Stock[A-Z]|Price[A-Z]`)

// And they have no word of it, neither in their tests nor in their documents.
func TestLibrariesHaveNoWordOfTheShop(t *testing.T) {
	t.Parallel()
	for _, library := range []string{"platform", "txn"} {
		err := filepath.WalkDir(library, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !slices.Contains([]string{".go", ".sql", ".md"}, filepath.Ext(path)) {
				return err
			}
			text, err := os.ReadFile(path)
			for i, line := range strings.Split(string(text), "\n") {
				if word := shopWord.FindString(line); word != "" && !released(path) {
					t.Errorf("%s:%d: %q is a word of the shop: %s", path, i+1, word, strings.TrimSpace(line))
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// released tells whether a file is one of the migrations, which do not change any more, that
// listed the kinds of transactions; a later one lifted that.
func released(path string) bool {
	return slices.Contains([]string{"00001_transactions.sql", "00003_unknown_gids.sql"}, filepath.Base(path))
}

// The tests of the running system know it from outside: no code of the services, so that a
// mistake in one is not a mistake of its tests too.
func TestBlackBoxTestsKnowNoService(t *testing.T) {
	t.Parallel()
	for _, format := range []string{".Imports", ".TestImports", ".XTestImports"} {
		for name, imports := range packages(t, format) {
			room, _, _ := strings.Cut(name, "/")
			for _, path := range imports {
				imported, ours := strings.CutPrefix(path, module)
				other, _, _ := strings.Cut(imported, "/")
				// openapitest makes clients from the API's document, and knows that alone.
				if imported == "gateway/openapi/openapitest" {
					continue
				}
				if ours && (room == "e2e" || room == "shoptest") && other != "shoptest" && other != room {
					t.Errorf("%s imports %s", name, imported)
				}
				if ours && format == ".Imports" && other == "shoptest" && room != "e2e" && room != other {
					t.Errorf("%s imports %s: that is for tests", name, imported)
				}
			}
		}
	}
}

// A body is read by web.Body alone, which bounds it: Fiber's own ways do not.
func TestBodiesAreReadByOneFunction(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, way := range []string{"c.Body()", "c.BodyRaw()", "c.BodyParser(", "c.MultipartForm(", "c.FormValue(", "c.FormFile("} {
			if strings.Contains(string(text), way) {
				t.Errorf("%s reads a body by %s: use web.Body", path, way)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
