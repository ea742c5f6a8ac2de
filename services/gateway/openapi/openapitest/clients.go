// Package openapitest makes clients from the API's document as its readers would, with the generators that
// vagrant/provision/36-api-tools.sh installs.
package openapitest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	tools       = "/opt/bookstore/api"
	goGenerator = "/opt/bookstore/bin/oapi-codegen"
	pyGenerator = tools + "/openapi-python-client/bin/openapi-python-client"

	// Python is the interpreter that has what a client of it needs.
	Python = tools + "/openapi-python-client/bin/python"
	// PythonPackage is what Python's client is called.
	PythonPackage = "online_book_store_client"
)

// Run runs a program in a directory and returns what it says; the error has that, too.
func Run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	if filepath.IsAbs(name) {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("%w: 'go tool task tools' installs it", err)
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return string(said), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said)
	}
	return string(said), nil
}

// Go makes a client in dir, as package shop of a module that has what it needs: root is the repository's. Beside it goes a
// program, which is built as dir/program.
func Go(ctx context.Context, root, dir, document, program string) error {
	module := filepath.Join(root, "vagrant/provision/oapi-codegen")
	for from, to := range map[string]string{filepath.Join(module, "go.mod"): "go.mod", filepath.Join(module, "go.sum"): "go.sum", program: "main.go"} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o600) //nolint:gosec // dir is a test's own
		}
		if err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "shop"), 0o700); err != nil {
		return err
	}
	_, err := Run(ctx, dir, nil, goGenerator, "-package", "shop", "-generate", "types,client", "-o", "shop/shop.go", document)
	if err == nil {
		_, err = Run(ctx, dir, []string{"GOFLAGS=", "GOWORK=off"}, "go", "build", "-o", "program", ".")
	}
	return err
}

// Py makes a client in dir. That a response is left out is only a warning of the generator's; it is an error here.
func Py(ctx context.Context, dir, document string) error {
	said, err := Run(ctx, dir, nil, pyGenerator, "generate", "--path", document, "--meta", "none", "--output-path", filepath.Join(dir, PythonPackage))
	if err == nil && (strings.Contains(said, "Cannot parse") || strings.Contains(said, "WARNING parsing")) {
		err = errors.New(said)
	}
	return err
}
