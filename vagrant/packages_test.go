package vagrant_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// write makes files with their folders.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	hashA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hashB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// An image lists what is installed in it, with the hash that the archive's index has, or that the image below it listed.
// Another hash than the locked one ends the build.
func TestAnImageListsItsPackages(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.with(t, "dpkg-query", `printf 'installed tar=1.34\ninstalled libc6=2.36-9\nconfig-files old=1\n'`)
	m.with(t, "apt-cache", `printf 'Package: tar\nVersion: 1.34\nSHA256: `+hashA+`\n\nPackage: tar\nVersion: 1.33\nSHA256: `+hashB+`\n'`)
	const below = "libc6=2.36-9 " + hashB + "\n"
	const all = below + "tar=1.34 " + hashA + "\n"
	for name, c := range map[string]struct {
		listed, lock string
		status       int
		says, lists  string
	}{
		"as locked":            {below, all, 0, "", all},
		"nothing is locked":    {below, "", 0, "", all},
		"newer than locked":    {below, "tar=1.33 " + hashB + "\n", 0, "", all},
		"another file":         {below, "tar=1.34 " + hashB + "\n", 1, "the archive has another tar=1.34 than packages.lock", below},
		"no hash of a package": {"", all, 1, "these packages have no hash, or two: libc6=2.36-9", ""},
		"two hashes":           {below + "tar=1.34 " + hashB + "\n", all, 1, "these packages have no hash, or two: tar=1.34", below + "tar=1.34 " + hashB + "\n"},
	} {
		folder := t.TempDir()
		write(t, folder, map[string]string{"packages": c.listed, "lock": c.lock})
		status, said := m.run(t, "-c", "sh provision/packages.sh "+folder)
		if status != c.status || !strings.Contains(said, c.says) || read(t, filepath.Join(folder, "packages")) != c.lists {
			t.Errorf("%s: status %d: %s: %s", name, status, said, read(t, filepath.Join(folder, "packages")))
		}
	}
}

// An image whose packages are no longer those of the lock is said, and has another tag; where a snapshot of the archive was
// named, that is an error.
func TestPackagesThatMovedAreSaid(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.with(t, "docker", `case $1 in create) echo container;; cp) tar -C "$WORK" -c packages;; build) echo "$@" >"$WORK/built";; esac`)
	const locked = "tar=1.34 " + hashA + "\n"
	const moved = "tar=1.35 " + hashB + "\n"
	for name, c := range map[string]struct {
		packages, snapshot string
		status             int
		says               string
		sameTag            bool
	}{
		"as locked":                    {locked, "", 0, "", true},
		"without packages":             {"", "", 0, "", true},
		"moved":                        {moved, "", 0, "base has packages that packages.lock has not: tar=1.35 (1 in all)", false},
		"moved, and a snapshot is set": {moved, "http://127.0.0.1/archive", 1, "http://127.0.0.1/archive should have what is locked", false},
	} {
		work := t.TempDir()
		write(t, work, map[string]string{"packages": c.packages, "lock": locked})
		status, said := newTree(t, "", nil).sh(t, m, `export WORK=`+work+` LC_ALL=C; work=$WORK updating= built=0 BOOKSTORE_DEBIAN_SNAPSHOT=`+c.snapshot+
			`; . provision/images.sh; finished base 0123456789ab`)
		if status != c.status || !strings.Contains(said, c.says) || (c.says == "") != (said == "") {
			t.Errorf("%s: status %d: %s", name, status, said)
		}
		if status != 0 {
			continue
		}
		if built := read(t, filepath.Join(work, "built")); strings.Contains(built, "-0123456789ab ") != c.sameTag || !strings.Contains(built, "bookstore.wanted=0123456789ab ") {
			t.Errorf("%s: docker %s", name, built)
		}
	}
}

// The lock has its date and, for each package, one version and hash; a snapshot of the archive is that of its date.
func TestPackagesAreLocked(t *testing.T) {
	t.Parallel()
	var date string
	names := map[string]bool{}
	for line := range strings.Lines(read(t, "provision/packages.lock")) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "date "); ok {
			if at, err := time.Parse(time.RFC3339, text); err != nil || at.After(time.Now()) {
				t.Errorf("the date of the lock: %v, %v", at, err)
			}
			date = strings.NewReplacer("-", "", ":", "").Replace(text)
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := regexp.MustCompile(`^([a-z0-9][a-z0-9.+-]+)=[0-9][^ =]* [0-9a-f]{64}$`).FindStringSubmatch(line)
		if parts == nil || names[parts[1]] {
			t.Errorf("not a package with its version and hash, or its second one: %q", line)
			continue
		}
		names[parts[1]] = true
	}
	for _, name := range []string{"base-files", "postgresql-15", "pgbackrest", "redis-server", "prometheus", "python3-venv"} {
		if !names[name] {
			t.Errorf("%s is not locked", name)
		}
	}
	status, said := newMachine(t).run(t, "-c", `export BOOKSTORE_DEBIAN_SNAPSHOT=http://127.0.0.1/archive; . provision/lib.sh; . provision/images.sh; snapshot_sources`)
	if want := "deb [check-valid-until=no] http://127.0.0.1/archive/debian-security/" + date + " bookworm-security main\n"; status != 0 || !strings.Contains(said, want) {
		t.Errorf("status %d: %s", status, said)
	}
}
