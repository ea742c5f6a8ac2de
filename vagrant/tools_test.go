package vagrant_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tree is a folder of pinned tools with a $BIN of its own, and a release site.
type tree struct {
	dir   string
	site  *httptest.Server
	asked atomic.Int32
}

// newTree pins Nomad 1.2.3 with a sum; the site answers as the handler does.
func newTree(t *testing.T, sum string, answer http.HandlerFunc) *tree {
	t.Helper()
	tr := &tree{dir: t.TempDir()}
	tr.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tr.asked.Add(1)
		if r.URL.Path != "/nomad/1.2.3/nomad_1.2.3_linux_amd64.zip" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(tr.site.Close)
	for name, content := range map[string]string{
		"nomad/go.mod":   "module nomad\n\ntool github.com/hashicorp/nomad\n\nrequire github.com/hashicorp/nomad v1.2.3 // indirect\n",
		"nomad/go.sum":   "",
		"hashicorp.sums": sum + "  nomad_1.2.3_linux_amd64.zip\n",
		"bin/.keep":      "",
	} {
		path := filepath.Join(tr.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// sh runs commands with the functions of lib.sh, on the tree.
func (tr *tree) sh(t *testing.T, m machine, commands string) (status int, said string) {
	t.Helper()
	return m.run(t, "-c", fmt.Sprintf(`HASHICORP_RELEASES=%s; . provision/lib.sh; PATH=%s PROVISION=%[3]s BIN=%[3]s/bin RUN=%[3]s LOGS=%[3]s; %s`,
		tr.site.URL, m.path, tr.dir, commands))
}

// release is a zip with a program in it that says its version, and its sum.
func release(t *testing.T) (content []byte, sum string) {
	t.Helper()
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	header := &zip.FileHeader{Name: "nomad"}
	header.SetMode(0o755)
	w, err := archive.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "#!/bin/sh\necho Nomad v1.2.3\n")
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes(), fmt.Sprintf("%x", sha256.Sum256(buffer.Bytes()))
}

func TestAToolIsDownloadedOnce(t *testing.T) {
	t.Parallel()
	content, sum := release(t)
	tr := newTree(t, sum, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	for range 2 {
		if status, said := tr.sh(t, newMachine(t), `have_tool nomad || download_tool nomad && "$BIN/nomad"`); status != 0 || !strings.Contains(said, "Nomad v1.2.3") {
			t.Fatalf("status %d: %s", status, said)
		}
	}
	if asked := tr.asked.Load(); asked != 1 {
		t.Errorf("the site was asked %d times", asked)
	}
}

// What cannot be had, or is not what was pinned, is said in one line and leaves nothing behind; the build follows.
func TestAToolThatCannotBeDownloadedIsBuilt(t *testing.T) {
	t.Parallel()
	content, sum := release(t)
	send := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
	for name, c := range map[string]struct {
		sum    string
		answer http.HandlerFunc
		says   string
	}{
		"with another sum": {strings.Repeat("0", 64), send, "has not the sum that hashicorp.sums says"},
		"not there":        {sum, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "cannot be downloaded"},
		"never sent":       {sum, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "cannot be downloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, c.sum, c.answer)
			began := time.Now()
			status, said := tr.sh(t, newMachine(t), "download_tool nomad")
			if status != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, c.says) {
				t.Errorf("status %d: %s", status, said)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("given up after %s", took)
			}
			if left, _ := filepath.Glob(filepath.Join(tr.dir, "bin/*")); len(left) != 1 { // the pattern is well formed
				t.Errorf("left behind: %v", left)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		tr := newTree(t, sum, send)
		tr.site.Close()
		if status, said := tr.sh(t, newMachine(t), "download_tool nomad"); status != 1 || !strings.Contains(said, "cannot be downloaded") {
			t.Errorf("status %d: %s", status, said)
		}
	})
}

// The first program on the PATH that has a supported version is taken, wherever an older one stands.
func TestAToolOnThePathIsUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second string
		status        int
	}{
		"the first":    {"1.11.0", "1.10.0", 0},
		"the second":   {"1.4.0", "1.11.2", 0},
		"a newer one":  {"1.4.0", "2.0.4", 0},
		"none of them": {"1.4.0", "3.0.0", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := newMachine(t), newMachine(t)
			first.with(t, "nomad", "echo Nomad v"+c.first)
			second.with(t, "nomad", "echo Nomad v"+c.second)
			both := machine{first.path + ":" + second.path}
			tr := newTree(t, "", nil)
			status, said := tr.sh(t, both, `supported nomad "$NOMAD_SUPPORTED" && "$BIN/nomad" version`)
			want := c.first
			if c.first == "1.4.0" {
				want = c.second
			}
			if status != c.status || status == 0 && !strings.Contains(said, "Nomad v"+want+"\n") {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
}

// A Nomad without known holes is taken before one with them; one with them says so, and which.
func TestKnownHolesAreSaid(t *testing.T) {
	t.Parallel()
	m, tr := newMachine(t), newTree(t, "", nil)
	for version, holes := range map[string]int{
		"v1.11.3": 3, "v2.0.0": 3, "v2.0.1": 2, "v2.0.3": 2, "v1.11.7+ent": 2, "v1.11.8": 3,
		"v2.0.4": 0, "v2.0.10": 0, "v2.1.0": 0, "v1.11.8+ent": 0,
	} {
		status, said := tr.sh(t, m, `known_holes "Nomad `+version+`"`)
		if status != 0 || strings.Count(said, "CVE-") != holes || (holes > 0) != strings.Contains(said, "only the operator has") {
			t.Errorf("%s, which has %d: status %d: %s", version, holes, status, said)
		}
	}
	first, second := newMachine(t), newMachine(t)
	first.with(t, "nomad", "echo Nomad v1.11.3")
	second.with(t, "nomad", "echo Nomad v2.0.4")
	status, said := tr.sh(t, machine{first.path + ":" + second.path}, `supported nomad "$NOMAD_MENDED" && "$BIN/nomad" version`)
	if status != 0 || !strings.Contains(said, "Nomad v2.0.4\n") {
		t.Errorf("status %d: %s", status, said)
	}
}

// Consul's own next line is taken, too.
func TestConsulsNextLineIsSupported(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for version, status := range map[string]int{"v1.22.7": 0, "v2.0.3": 0, "v2.1.0": 0, "v1.20.1": 1, "v3.0.0": 1} {
		m.with(t, "consul", "echo Consul "+version)
		if got, said := newTree(t, "", nil).sh(t, m, `supported consul "$CONSUL_SUPPORTED"`); got != status {
			t.Errorf("%s: status %d: %s", version, got, said)
		}
	}
}

// A version that is changed in a module without its sum would be built, in ten minutes, everywhere.
func TestEveryPinnedVersionHasItsSum(t *testing.T) {
	t.Parallel()
	sums := read(t, "provision/hashicorp.sums")
	for _, tool := range []string{"nomad", "consul"} {
		version := regexp.MustCompile(`hashicorp/` + tool + ` v([0-9.]+)`).FindStringSubmatch(read(t, "provision/"+tool+"/go.mod"))
		if version == nil || !regexp.MustCompile(`(?m)^[0-9a-f]{64}  `+tool+"_"+regexp.QuoteMeta(version[1])+`_linux_amd64\.zip$`).MatchString(sums) {
			t.Errorf("provision/hashicorp.sums has not the pinned version of %s: %v", tool, version)
		}
	}
}

// A stage that runs beside others ends with its status, each of its lines marked, and ends with the script.
func TestAStageBesideOthers(t *testing.T) {
	t.Parallel()
	tr := newTree(t, "", nil)
	status, said := tr.sh(t, newMachine(t), `export -f progress alive_for die; export LOGS; beside tools bash -c 'progress work true'; beside_end; echo after`)
	if status != 0 || !strings.Contains(said, "[tools] work done in ") || !strings.HasSuffix(said, "after\n") {
		t.Errorf("status %d: %s", status, said)
	}
	if status, said := tr.sh(t, newMachine(t), `beside tools bash -c 'exit 3'; beside_end || echo "status $?"`); !strings.Contains(said, "status 3") {
		t.Errorf("status %d: %s", status, said)
	}
	began := time.Now()
	if status, said := tr.sh(t, newMachine(t), `beside tools sleep 60; exit 4`); status != 4 || time.Since(began) > 10*time.Second {
		t.Errorf("status %d after %s: %s", status, time.Since(began), said)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A daemon outlives the script, and no lock that the script was started under lives on with it.
func TestADaemonKeepsNoLock(t *testing.T) {
	t.Parallel()
	tr := newTree(t, "", nil)
	status, said := tr.sh(t, newMachine(t), `exec 7>"$RUN/lock" 9>"$RUN/other"; flock 7; flock 9; daemon sleep sleep 30; exec 7>&- 9>&-
		sleep 1; alive sleep || echo dead; flock -n "$RUN/lock" flock -n "$RUN/other" echo free; kill "$(cat "$RUN/sleep.pid")"`)
	if status != 0 || said != "free\n" {
		t.Errorf("status %d: %s", status, said)
	}
}
