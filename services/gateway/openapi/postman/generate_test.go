package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/gateway/openapi"
)

const committed = "bookstore.postman_collection.json"

func TestTheCollectionIsMadeFromTheDocument(t *testing.T) {
	made, err := generate(openapi.Document(), story)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, kept) {
		t.Errorf("%s is not what the document and the story make: 'go tool task api:postman' makes it anew", committed)
	}
}

func TestTheStoryTellsOfEveryCall(t *testing.T) {
	var d document
	var s tale
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(story, &s); err != nil {
		t.Fatal(err)
	}
	called, names := map[string]bool{}, map[string]bool{}
	for _, chapter := range s.Chapters {
		for _, step := range chapter.Steps {
			if names[step.Name] {
				t.Errorf("two steps are named %q: repeating one would continue with the other", step.Name)
			}
			called[step.Call], names[step.Name] = true, true
		}
	}
	for id := range d.operations() {
		if !called[id] {
			t.Errorf("no step makes the call %s", id)
		}
	}
}

func TestMistakesInTheStoryAreReported(t *testing.T) {
	const document = `{"paths":{"/books/{id}":{"get":{"operationId":"getBook","security":[{}]}}}}`
	for story, want := range map[string]string{
		`{"chapters":[{"steps":[{"name":"a","call":"getShelf"}]}]}`:                                 `no call "getShelf"`,
		`{"chapters":[{"steps":[{"name":"a","call":"getBook"}]}]}`:                                  "no value is given for id",
		`{"chapters":[{"steps":[{"name":"a","call":"getBook","path":{"id":"1","x":"1"}}]}]}`:        "does not have all of the parameters",
		`{"chapters":[{"steps":[{"name":"a","call":"getBook","path":{"id":"1"},"statuses":200}]}]}`: "unknown field",
	} {
		if _, err := generate([]byte(document), []byte(story)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", story, err, want)
		}
	}
}

func TestTheFileIsWritten(t *testing.T) {
	var out bytes.Buffer
	name := filepath.Join(t.TempDir(), "made.json")
	if err := run([]string{name}, &out); err != nil || !strings.HasPrefix(out.String(), name) {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := run(nil, &out); err == nil {
		t.Error("written without a name")
	}
}
