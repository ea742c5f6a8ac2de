// Command catalogue loads a catalogue file into the shop.
package main

import (
	"os"

	"bookstore/services/catalogue/command"
)

func main() { os.Exit(command.Main(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }
