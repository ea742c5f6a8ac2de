//go:build !bench

package lab_test

import (
	"os"
	"testing"

	"bookstore/services/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	lab.Sweep()
	os.Exit(code)
}
