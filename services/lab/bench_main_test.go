//go:build bench

package lab_test

import (
	"fmt"
	"os"
	"testing"

	"bookstore/services/lab"
)

// figures are the lines that a run ends with.
var figures []string

func figure(name, format string, value any) {
	figures = append(figures, "figure "+name+" "+fmt.Sprintf(format, value))
}

func TestMain(m *testing.M) {
	code := m.Run()
	lab.Sweep()
	for _, line := range figures {
		fmt.Println(line)
	}
	os.Exit(code)
}
