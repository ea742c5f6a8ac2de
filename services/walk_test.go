package services_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// The most stops and packages that somebody who reads an order's way has to enter.
const (
	mostStops    = 20
	mostPackages = 9
)

var stop = regexp.MustCompile("^\\| \\d+ \\| `([a-z/]+\\.go)` \\| `(\\w+)` \\|")

// README.md walks through an order from HTTP to commit: each stop is another function in
// another file, and all of them are there.
func TestAnOrdersWayIsAsTheReadmeWalksIt(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	stops, packages, before := 0, map[string]bool{}, ""
	for line := range strings.Lines(string(text)) {
		found := stop.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		file, function := found[1], found[2]
		stops++
		packages[path.Dir(file)] = true
		if file == before {
			t.Errorf("%s is named twice in a row: that is one stop", file)
		}
		before = file
		if !declares(t, file, function) {
			t.Errorf("%s has no function %s", file, function)
		}
	}
	if stops == 0 || stops > mostStops || len(packages) > mostPackages {
		t.Errorf("an order's way has %d stops in %d packages; %d and %d are the most", stops, len(packages), mostStops, mostPackages)
	}
}

// declares tells whether a file has a function or method of this name.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return false
	}
	for _, declared := range parsed.Decls {
		if function, ok := declared.(*ast.FuncDecl); ok && function.Name.Name == name {
			return true
		}
	}
	return false
}
