package vagrant_test

import (
	"encoding/json"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tracked are the repository's files whose path matches.
func tracked(t *testing.T, pattern string) (files []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	matches := regexp.MustCompile(pattern)
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSuffix(name, "\n"); matches.MatchString(name) {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no file matches %s", pattern)
	}
	return files
}

// commands are the lines of scripts and of Dockerfiles, with what continues them, without comments.
func commands(t *testing.T) (lines map[string][]string) {
	t.Helper()
	lines = map[string][]string{}
	for _, file := range tracked(t, `\.sh$|^\.ci/run$|(^|/)Dockerfile$|^Taskfile\.yml$`) {
		text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(read(t, filepath.Join("..", file)), " ")
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
				lines[file] = append(lines[file], line)
			}
		}
	}
	return lines
}

// Nothing is downloaded that is not pinned with a hash: by requirements for pip, by a lock for npm, by go.sum for Go, by the
// archive's signature and packages.lock for apt, by hashicorp.sums for what is fetched otherwise.
func TestNothingIsDownloadedWithoutItsHash(t *testing.T) {
	t.Parallel()
	// What a command that fetches needs to have, or "" where none may.
	needs := []struct {
		fetches *regexp.Regexp
		needs   string
	}{
		{regexp.MustCompile(`\bpip"? (install|download)\b`), `--require-hashes|--no-index`},
		{regexp.MustCompile(`\bnpm (ci|install|i|update)\b`), `npm ci --prefix`},
		{regexp.MustCompile(`\bnpx\b|\bpipx\b|\buvx\b|\bgo install\b|\bgo (get|run) \S+@`), ``},
		{regexp.MustCompile(`\b(curl|wget)\b.*\s(-o|-O|--output)\b`), `-o "\$dir/\$zip"`},
		{regexp.MustCompile(`allow-unauthenticated|trusted=yes|GONOSUMDB|GONOSUMCHECK|GOFLAGS=.*insecure|GOSUMDB=off|strict-ssl|--insecure\b.*\s-o|trusted-host`), ``},
	}
	seen := map[string]bool{}
	for file, lines := range commands(t) {
		for _, line := range lines {
			for _, n := range needs {
				if !n.fetches.MatchString(line) {
					continue
				}
				seen[n.needs] = true
				if n.needs == "" || !regexp.MustCompile(n.needs).MatchString(line) {
					t.Errorf("%s: a download without its hash: %s", file, line)
				}
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("the rule has found too little: %v", seen)
	}
}

// Every requirement of pip has a version and a hash.
func TestRequirementsHaveHashes(t *testing.T) {
	t.Parallel()
	requirement := regexp.MustCompile(`^[A-Za-z0-9._-]+==[^\s;]+( ;[^\\]*)?( --hash=sha256:[0-9a-f]{64})+$`)
	for _, file := range tracked(t, `requirements[^/]*\.txt$`) {
		text := regexp.MustCompile(`\s*\\\n\s*`).ReplaceAllString(read(t, filepath.Join("..", file)), " ")
		found := 0
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			found++
			if !requirement.MatchString(line) {
				t.Errorf("%s: no version, or no hash: %.80s", file, line)
			}
		}
		if found == 0 {
			t.Errorf("%s asks for nothing", file)
		}
	}
}

// Every package of npm is locked with its hash, and every Go module of a tool by go.sum.
func TestLocksAreWhole(t *testing.T) {
	t.Parallel()
	manifests := tracked(t, `(^|/)package\.json$`)
	locks := tracked(t, `(^|/)package-lock\.json$`)
	for _, file := range manifests {
		if !slices.Contains(locks, path.Join(path.Dir(file), "package-lock.json")) {
			t.Errorf("%s has no package-lock.json", file)
		}
	}
	for _, file := range locks {
		var lock struct {
			Packages map[string]struct{ Integrity string }
		}
		if err := json.Unmarshal([]byte(read(t, filepath.Join("..", file))), &lock); err != nil || len(lock.Packages) < 2 {
			t.Errorf("%s: %d packages, %v", file, len(lock.Packages), err)
		}
		for name, p := range lock.Packages {
			if name != "" && !strings.HasPrefix(p.Integrity, "sha512-") {
				t.Errorf("%s: %s has no hash", file, name)
			}
		}
	}
	sums := tracked(t, `(^|/)go\.sum$`)
	for _, file := range tracked(t, `(^|/)go\.mod$`) {
		if !slices.Contains(sums, path.Join(path.Dir(file), "go.sum")) {
			t.Errorf("%s has no go.sum", file)
		}
	}
}
