// Command payments stands in for an outside payment provider.
package main

import (
	"bookstore/services/payments/paymentsservice"
	"bookstore/services/platform/service"
)

func main() { service.Main("payments", paymentsservice.Build) }
