package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// world is the folder with what there is beside Terraform's state: Nomad's variables, a file each.
type world struct{ dir string }

func variableID(path, namespace string) string {
	if namespace == "" {
		namespace = "default"
	}
	return path + "@" + namespace
}

func (w world) file(id string) (string, error) {
	if w.dir == "" {
		return "", errors.New("STANDIN_WORLD names no folder")
	}
	dir := filepath.Join(w.dir, "nomad_variable")
	return filepath.Join(dir, url.PathEscape(id)+".json"), os.MkdirAll(dir, 0o700)
}

// variable reads a variable; there is none where it says false.
func (w world) variable(id string) (map[string]string, bool, error) {
	file, err := w.file(id)
	if err != nil {
		return nil, false, err
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var items map[string]string
	return items, true, json.Unmarshal(content, &items)
}

// write replaces the whole variable, as Nomad does.
func (w world) write(id, items string) error {
	var pairs map[string]string
	if err := json.Unmarshal([]byte(items), &pairs); err != nil {
		return fmt.Errorf("the items of %s are no object of strings: %w", id, err)
	}
	file, err := w.file(id)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(items), 0o600)
}

func (w world) remove(id string) error {
	file, err := w.file(id)
	if err != nil {
		return err
	}
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// nodes are those of Nomad that its data source lists.
const nodes = `[
  {"id": "11111111-1111-4111-8111-111111111111", "name": "host1", "status": "ready", "scheduling_eligibility": "eligible"},
  {"id": "22222222-2222-4222-8222-222222222222", "name": "host2", "status": "ready", "scheduling_eligibility": "eligible"},
  {"id": "33333333-3333-4333-8333-333333333333", "name": "host3", "status": "ready", "scheduling_eligibility": "eligible"},
  {"id": "44444444-4444-4444-8444-444444444444", "name": "host4", "status": "ready", "scheduling_eligibility": "eligible"},
  {"id": "55555555-5555-4555-8555-555555555555", "name": "host5", "status": "down", "scheduling_eligibility": "ineligible"}
]`
