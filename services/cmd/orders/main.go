// Command orders serves orders to readers, and takes part in the transactions and sagas that change them.
package main

import (
	"bookstore/services/orders/ordersservice"
	"bookstore/services/platform/service"
)

func main() { service.Main("orders", ordersservice.Build) }
