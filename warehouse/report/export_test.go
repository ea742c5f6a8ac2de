package report

import (
	"context"
	"io"
)

// Shell is the shell that someone at a terminal gets.
func Shell(ctx context.Context, dir string, in io.Reader, out, stderr io.Writer) error {
	v, err := open(ctx, dir, "", "UTC")
	if err != nil {
		return err
	}
	defer v.close()
	return v.shell(ctx, "", in, out, stderr)
}
