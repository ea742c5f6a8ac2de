// Command generate writes the files that jobs/service makes: the services' job files and mesh entries. Run it at the top
// of the checkout after a change there, or of the gateway's routes or a service's:
//
//	go run ./jobs/generate
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"bookstore/jobs/service"
)

func main() {
	if err := write("jobs"); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// write writes every file below dir.
func write(dir string) error {
	files, err := service.Files()
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil { //nolint:gosec // as git makes them: they are no secret
			return err
		}
	}
	return nil
}
