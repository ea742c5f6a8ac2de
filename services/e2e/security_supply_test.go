//go:build e2e

package e2e

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bookstore/services/shoptest/cluster"
)

// components are the package URLs of an image's bill of materials, without their qualifiers.
func components(t *testing.T, name, tag string) (found []string) {
	t.Helper()
	_, inputs, _ := strings.Cut(tag, "-")
	file := fmt.Sprintf("/var/cache/bookstore/sbom/%s-%s.cdx.json", name, inputs)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("bookstore/%s:%s has no bill of materials ('go tool task sbom'): %v", name, tag, err)
	}
	var bill struct {
		BomFormat  string
		Components []struct{ Purl string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BomFormat != "CycloneDX" {
		t.Fatalf("%s: %q, %v", file, bill.BomFormat, err)
	}
	for _, c := range bill.Components {
		purl, _, _ := strings.Cut(c.Purl, "?")
		if purl, err = url.PathUnescape(purl); err != nil {
			t.Fatal(err)
		}
		found = append(found, purl)
	}
	return found
}

// programs are where images have a Go program; a service's is /service.
var programs = map[string]string{"warehouse": "/warehouse", "patroni": "/usr/local/bin/fence", "redis": "/usr/local/bin/redis-care", "acme": "/usr/local/bin/acme"}

// copied is a file of an image, or "" where it has none.
func copied(t *testing.T, image, path string) string {
	t.Helper()
	container, err := cluster.Command("docker", "create", image, "/none")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(path))
	_, err = cluster.Command("docker", "cp", container+":"+path, file)
	if _, err := cluster.Command("docker", "rm", container); err != nil {
		t.Error(err)
	}
	if err != nil {
		return ""
	}
	return file
}

// contents are what an image has by its own account: the Debian packages that it lists, and the modules of its Go program.
func contents(t *testing.T, name, image string) (purls []string) {
	t.Helper()
	if file := copied(t, image, "/usr/share/bookstore/packages"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			pkg, _, _ := strings.Cut(line, " ")
			purls = append(purls, "pkg:deb/debian/"+strings.Replace(pkg, "=", "@", 1))
		}
	}
	program := copied(t, image, cmp.Or(programs[name], "/service"))
	if program == "" {
		return purls
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range info.Deps {
		purls = append(purls, "pkg:golang/"+module.Path+"@"+module.Version)
	}
	return purls
}

// Each image has a bill of materials that names its Debian packages and the Go modules of its programs.
func TestEachImageHasItsBillOfMaterials(t *testing.T) {
	out, err := cluster.OperatorCommand(t.Context(), "images", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var images map[string]string
	if err := json.Unmarshal(out, &images); err != nil {
		t.Fatal(err)
	}
	named := map[string]int{}
	for name, tag := range images {
		bill := components(t, name, tag)
		for _, purl := range contents(t, name, "bookstore/"+name+":"+tag) {
			named[name]++
			if !slices.Contains(bill, purl) {
				t.Errorf("the bill of materials of %s does not name %s", name, purl)
			}
		}
	}
	for _, name := range []string{"base", "acme", "alertmanager", "envoy", "patroni", "prometheus", "redis", "books", "gateway", "migrate", "warehouse"} {
		if named[name] < 10 {
			t.Errorf("%s has %d packages and modules", name, named[name])
		}
	}
}
