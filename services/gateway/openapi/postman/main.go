// Command postman makes the Postman collection of the API: the walk that
// story.json tells, with methods, addresses, bodies and words from the OpenAPI
// document.
//
//	go run ./services/gateway/openapi/postman FILE
package main

import (
	"fmt"
	"io"
	"os"

	"bookstore/services/gateway/openapi"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "postman:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("takes the name of the file to write, got %q", args)
	}
	made, err := generate(openapi.Document(), story)
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[0], made, 0o644); err != nil { //nolint:gosec // it is for everyone
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %d bytes\n", args[0], len(made))
	return err
}
