package services_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTask = regexp.MustCompile(`go tool task ([a-z0-9:]+)`)
	namedPath = regexp.MustCompile("`((?:services|jobs|patroni)/[a-zA-Z0-9_/.]+)`")
)

// What CONTRIBUTING.md sends its reader to is there: files, folders and tasks.
func TestContributingNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadFile("../Taskfile.yml")
	if err != nil {
		t.Fatal(err)
	}
	paths, names := namedPath.FindAllStringSubmatch(string(text), -1), namedTask.FindAllStringSubmatch(string(text), -1)
	if len(paths) < 10 || len(names) < 5 {
		t.Errorf("%d paths and %d tasks found in CONTRIBUTING.md", len(paths), len(names))
	}
	for _, found := range paths {
		if _, err := os.Stat(filepath.Join("..", found[1])); err != nil {
			t.Error(err)
		}
	}
	for _, found := range names {
		if !strings.Contains(string(tasks), "\n  "+strings.TrimSuffix(found[1], ":")+":\n") {
			t.Errorf("there is no task %s", found[1])
		}
	}
}
