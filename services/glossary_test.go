package services_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The glossary's last column says where a term is used: in folders and files below services, or below the repository.
func TestTheGlossaryNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, glossary, _ := strings.Cut(string(text), "\n## Glossary\n")
	glossary, _, _ = strings.Cut(glossary, "\n## ")
	paths, before := 0, ""
	for line := range strings.Lines(glossary) {
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
