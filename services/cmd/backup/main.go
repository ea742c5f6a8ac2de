// Command backup has the database cluster's leader make the backup that is due.
// It runs to its end.
package main

import (
	"bookstore/patroni/backup"
	"bookstore/services/platform/program"
)

func main() { program.Task("backup", backup.Task) }
