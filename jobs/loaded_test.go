package jobs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	loaded     = regexp.MustCompile(`\bfile(?:set)?\(([^,)]*)`)
	belowRoot  = regexp.MustCompile(`^"\$\{var\.root\}/([^"$]+)"$`)
	rootOption = regexp.MustCompile(`(?m)^variable "(root|files)"`)
)

// A job that loads files takes where they are as root and their digest as files, so that it can be submitted from anywhere and
// by tools that see a change in variables alone. It names each file as one literal, so that such a tool finds them.
func TestLoadedFilesAreBelowRoot(t *testing.T) {
	t.Parallel()
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	loading := 0
	for _, job := range glob(t, "*.nomad.hcl") {
		text := read(t, job)
		files := loaded.FindAllStringSubmatch(text, -1)
		if options := len(rootOption.FindAllString(text, -1)); options != min(2, 2*len(files)) {
			t.Errorf("%s loads %d files and has %d of the variables root and files", job, len(files), options)
		}
		for _, f := range files {
			if path := belowRoot.FindStringSubmatch(f[1]); path == nil {
				t.Errorf("%s: %s is not a literal path below ${var.root}", job, f[1])
			} else if _, err := os.Stat(filepath.Join(top, path[1])); err != nil {
				t.Errorf("%s: %v", job, err)
			}
		}
		if len(files) > 0 {
			loading++
			requireSameFromElsewhere(t, top, job)
		}
	}
	if loading == 0 {
		t.Error("no job loads a file")
	}
}

// requireSameFromElsewhere: the job of another folder, told the root, is the job of the top of the checkout.
func requireSameFromElsewhere(t *testing.T, top, job string) {
	t.Helper()
	here, err := run(t, nomad(t), "job", "run", "-output", "jobs/"+job)
	if err != nil {
		t.Error(err)
		return
	}
	cmd := exec.CommandContext(t.Context(), nomad(t), "job", "run", "-output", "-var=root="+top, "-var=files=0123abcd",
		filepath.Join(top, "jobs", job))
	cmd.Dir = t.TempDir()
	if there, err := cmd.Output(); err != nil || !bytes.Equal(here, there) {
		t.Errorf("%s differs when it is submitted from another folder: %v", job, err)
	}
}
