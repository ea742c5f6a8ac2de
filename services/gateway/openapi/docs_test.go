package openapi_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"bookstore/services/gateway/openapi"
)

func readAll(t *testing.T, response *http.Response) []byte {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheDocumentIsServed(t *testing.T) {
	response, content := body(t, "/openapi.json")
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" || !bytes.Equal(content, openapi.Document()) {
		t.Errorf("%d %s with %d bytes", response.StatusCode, response.Header.Get("Content-Type"), len(content))
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// The page consists of what this host serves, and is told to load nothing else.
func TestThePageIsWholeWithoutAnotherHost(t *testing.T) {
	response, content := body(t, "/docs")
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "//") {
		t.Errorf("policy %q", policy)
	}
	references := reference.FindAllSubmatch(content, -1)
	if len(references) < 5 {
		t.Errorf("the page refers to %d things", len(references))
	}
	for _, found := range references {
		path := string(found[1])
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			t.Errorf("%s is on another host", path)
		}
		if response, content := body(t, path); response.StatusCode != http.StatusOK || len(content) == 0 {
			t.Errorf("%s: %d with %d bytes", path, response.StatusCode, len(content))
		}
	}
}

func TestPartsAreSentAsTheyCanBeRead(t *testing.T) {
	const path = "/docs/swagger-ui-bundle.js"
	response, plain := body(t, path)
	if response.Header.Get("Content-Encoding") != "" || !bytes.Contains(plain, []byte("SwaggerUIBundle")) {
		t.Errorf("%q encoding, %d bytes", response.Header.Get("Content-Encoding"), len(plain))
	}
	response, zipped := body(t, path, "Accept-Encoding", "gzip, br")
	if response.Header.Get("Content-Encoding") != "gzip" || response.Header.Get("Vary") != "Accept-Encoding" || len(zipped) >= len(plain) {
		t.Fatalf("%q encoding, %d bytes of %d", response.Header.Get("Content-Encoding"), len(zipped), len(plain))
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(unzipped); err != nil || !bytes.Equal(again, plain) {
		t.Errorf("%d bytes once unzipped, %d plain: %v", len(again), len(plain), err)
	}
}

func TestThereAreNoOtherParts(t *testing.T) {
	for _, path := range []string{"/docs/docs.html", "/docs/..%2fopenapi.go", "/docs/oauth2-redirect.html"} {
		if response, _ := body(t, path); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}
