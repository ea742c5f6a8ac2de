// Command acme keeps the certificate of the ingress: it gets one from an ACME directory when none is good for the shop's
// domains, or when a third of its time is left. It runs to its end.
package main

import (
	"bookstore/jobs/acme"
	"bookstore/services/platform/program"
)

func main() { program.Task("acme", acme.Task) }
