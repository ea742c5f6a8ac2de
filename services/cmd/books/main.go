// Command books serves the catalogue and its stock.
package main

import (
	"bookstore/services/books/booksservice"
	"bookstore/services/platform/service"
)

func main() { service.Main("books", booksservice.Build) }
