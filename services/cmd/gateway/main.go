// Command gateway is the shop's front door: it checks who calls and passes
// the calls of the API on to the services.
package main

import (
	"bookstore/services/gateway"
	"bookstore/services/platform/service"
)

func main() { service.Main("gateway", gateway.Build) }
