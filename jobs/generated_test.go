package jobs_test

import (
	"strings"
	"testing"

	"bookstore/jobs/service"
)

// The files of the services are made by jobs/service, and no other file says so.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	made, err := service.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(glob(t, "*.nomad.hcl"), glob(t, "mesh/*.hcl")...) {
		text := read(t, file)
		want, ok := made[file]
		if ok != strings.HasPrefix(text, "# "+service.Header) {
			t.Errorf("%s is generated: %t; its first line says otherwise", file, ok)
		}
		if ok && text != want {
			t.Errorf("%s is not what jobs/service makes: go tool task jobs:generate", file)
		}
		delete(made, file)
	}
	for file := range made {
		t.Errorf("%s is missing: go tool task jobs:generate", file)
	}
}
