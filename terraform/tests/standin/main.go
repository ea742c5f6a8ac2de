// Program standin stands in for Terraform's providers in the tests of this folder, where no registry of providers can be
// reached. It is none of them: it knows the names and types of their arguments (facts), so that Terraform can initialise,
// validate, plan and apply, and answers each request from the configuration alone. It knows no defaults and no rules between
// arguments, and says nothing about what the true providers do.
//
// It is whichever provider its own name says (terraform-provider-nomad_v2.6.1). What is to outlive a process is in the
// folder STANDIN_WORLD: the variables of Nomad. STANDIN_FAILS names a resource whose creation fails, as type.name.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

func main() {
	if err := run(filepath.Base(os.Args[0])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(program string) error {
	name, _, versioned := strings.Cut(strings.TrimPrefix(program, "terraform-provider-"), "_v")
	if !versioned {
		return fmt.Errorf("%s is no name of a provider, such as terraform-provider-nomad_v2.6.1", program)
	}
	known, err := load(name)
	if err != nil {
		return err
	}
	provider, err := newServer(known, world{dir: os.Getenv("STANDIN_WORLD")}, os.Getenv("STANDIN_FAILS"))
	if err != nil {
		return err
	}
	return tf6server.Serve("registry.terraform.io/"+known.Source, func() tfprotov6.ProviderServer { return provider })
}
