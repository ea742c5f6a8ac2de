package services_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// glossary is the section of README.md.
func glossary(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Glossary\n")
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// The glossary's last column says where a term is used: in folders and files below services, or below the repository.
func TestTheGlossaryNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	paths, before := 0, ""
	for line := range strings.Lines(glossary(t)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "term" {
			continue
		}
		if term := strings.ToLower(strings.TrimSpace(cells[1])); term < before {
			t.Errorf("%q stands behind %q: the terms are sorted", term, before)
		} else {
			before = term
		}
		for _, path := range regexp.MustCompile("`([a-z/.]+)`").FindAllStringSubmatch(cells[3], -1) {
			paths++
			if _, err := os.Stat(path[1]); err == nil {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", path[1])); err != nil {
				t.Errorf("%s: there is no %s", strings.TrimSpace(cells[1]), path[1])
			}
		}
	}
	if paths < 30 {
		t.Errorf("the glossary names %d places", paths)
	}
}

var (
	// unused has a word that the glossary forbids as a name, in its one paragraph about them.
	unused = regexp.MustCompile("`([a-z]+)`")
	// parts are the words of an identifier or a file's name.
	parts = regexp.MustCompile("[A-Z]+[a-z0-9]*|[a-z0-9]+")
)

// The glossary's last paragraph lists words that name nothing: no function, type or Go file of the repository, tests included.
func TestForbiddenWordsNameNothing(t *testing.T) {
	t.Parallel()
	_, list, found := strings.Cut(glossary(t), "\nNot used in names")
	forbidden := map[string]bool{}
	for _, word := range unused.FindAllStringSubmatch(list, -1) {
		forbidden[word[1]] = true
	}
	if !found || len(forbidden) < 10 {
		t.Fatalf("the glossary forbids %d words", len(forbidden))
	}
	check := func(path, name string) {
		for _, part := range parts.FindAllString(name, -1) {
			if forbidden[strings.ToLower(part)] {
				t.Errorf("%s: %s has the word %q, which the glossary replaces", path, name, strings.ToLower(part))
			}
		}
	}
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		files++
		check(path, strings.TrimSuffix(entry.Name(), ".go"))
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch declared := node.(type) {
			case *ast.FuncDecl:
				check(path, declared.Name.Name)
			case *ast.TypeSpec:
				check(path, declared.Name.Name)
			}
			return true
		})
		return nil
	})
	if err != nil || files < 500 {
		t.Errorf("%d files, %v", files, err)
	}
}

// The README of participant names the tests of each rule that it guarantees.
func TestTheParticipantsGuaranteesHaveTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("txn/participant/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("txn/participant/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(source)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 10 {
		t.Errorf("the README names %d tests", len(named))
	}
	for _, name := range named {
		if !strings.Contains(tests.String(), "func "+name[1]+"(") {
			t.Errorf("there is no test %s", name[1])
		}
	}
}
