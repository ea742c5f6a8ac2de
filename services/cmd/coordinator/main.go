// Command coordinator places and cancels orders as two-phase commits, and runs
// checkouts and returns as sagas.
package main

import (
	"bookstore/services/checkout/checkoutservice"
	"bookstore/services/platform/service"
)

func main() { service.Main("coordinator", checkoutservice.Build) }
