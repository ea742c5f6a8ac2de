package services_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// A call to a peer that vanished has to end. Calls to the database get a bound
// from platform/pg where their callers set none, and connections from platform/dial. What
// goes past these two is listed here with its own bound.
var (
	// connects are the files that connect to PostgreSQL by themselves, with a
	// configuration of platform/pg, whose tracer bounds every call.
	connects = map[string]string{
		"services/migrate/migrate.go": "Config.ConnConfig",
		"patroni/socket/socket.go":    "connectTimeout, and the deadlines of an operator's calls",
		"warehouse/cut/open.go":       "Config.ConnConfig and Config.MemberConfig",
		"warehouse/run/source.go":     "the configuration of the cut's connection",
	}
	// raw are the files with calls of pgconn, of which no tracer hears.
	raw = map[string]string{
		"services/txn/participant/tx.go": "finishTimeout",
		"warehouse/export/export.go":     "the run's timeout",
		"warehouse/run/source.go":        "settleTime",
	}
	// dials are the files with a dialer of their own. Each of their calls has a
	// deadline, at which its connection is closed.
	dials = map[string]string{
		"patroni/cmd/fence/main.go":    "patience",
		"services/catalogue/client.go": "callTimeout",
	}
)

// testsOnly are folders that only tests use.
var testsOnly = []string{"services/lab/", "services/e2e/", "services/shoptest/", "services/drills/", "services/platform/pg/", "services/platform/dial/", "services/platform/redis/redistest/", "services/platform/service/servicetest/"}

// production is every Go file that runs in production but those of the two
// packages that make the bounds.
func production(t *testing.T, look func(path string, file *ast.File, positions *token.FileSet)) {
	t.Helper()
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		path = filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != ".." || path == "vagrant"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, folder := range testsOnly {
			if strings.HasPrefix(path, folder) {
				return nil
			}
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, filepath.Join("..", path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found++
		look(path, file, positions)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 100 {
		t.Fatalf("%d files are not all of them", found)
	}
}

// selected is the package and the name of a selector such as pgx.Connect.
func selected(n ast.Node) (pkg, name string) {
	if s, ok := n.(*ast.SelectorExpr); ok {
		name = s.Sel.Name
		if x, ok := s.X.(*ast.Ident); ok {
			pkg = x.Name
		}
	}
	return pkg, name
}

func TestNobodyGoesPastTheBoundsOfTheDatabase(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	production(t, func(path string, file *ast.File, positions *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			pkg, name := selected(n)
			var allowed map[string]string
			switch {
			case pkg == "pgx" && (strings.HasPrefix(name, "Connect") || name == "ParseConfig"),
				pkg == "pgconn" && strings.HasPrefix(name, "Connect") && name != "ConnectError",
				pkg == "pgxpool" && (strings.HasPrefix(name, "New") || name == "ParseConfig"), pkg == "stdlib":
				allowed = connects
			case name == "PgConn" && pkg != "pgconn":
				allowed = raw
			default:
				return true
			}
			if _, ok := allowed[path]; !ok {
				t.Errorf("%s: %s.%s makes calls to the database that platform/pg does not bound", positions.Position(n.Pos()), pkg, name)
			}
			used[path] = true
			return true
		})
	})
	for _, list := range []map[string]string{connects, raw} {
		for path := range list {
			if !used[path] {
				t.Errorf("%s is excused and need not be", path)
			}
		}
	}
}

func TestConnectionsAreMadeByTheDialerWithABound(t *testing.T) {
	t.Parallel()
	production(t, func(path string, file *ast.File, positions *token.FileSet) {
		if dials[path] != "" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if pkg, name := selected(n); pkg == "net" && strings.HasPrefix(name, "Dial") ||
				pkg == "http" && (name == "DefaultClient" || name == "DefaultTransport" || name == "Get" || name == "Post" || name == "Head" || name == "PostForm") {
				t.Errorf("%s: %s.%s sets no bound on data that is not acknowledged: use platform/dial", positions.Position(n.Pos()), pkg, name)
			}
			literal, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			fields := map[string]bool{}
			for _, e := range literal.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok {
						fields[key.Name] = true
					}
				}
			}
			switch pkg, name := selected(literal.Type); {
			case pkg == "http" && name == "Transport" && !fields["DialContext"]:
				t.Errorf("%s: a transport without the dialer of platform/dial", positions.Position(n.Pos()))
			case pkg == "http" && name == "Client" && (!fields["Transport"]):
				t.Errorf("%s: a client with the default transport", positions.Position(n.Pos()))
			}
			return true
		})
	})
}
