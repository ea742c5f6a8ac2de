package jobs

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2/hclparse"

	"bookstore/services/operator/cluster"
)

// acme is the job that has an ACME directory certify the ingress.
const acme = "acme"

// Certified tells whether the file of variables wants that: whether its acme names domains.
func (f Files) Certified() (bool, error) {
	file, problems := hclparse.NewParser().ParseHCLFile(f.Vars)
	if problems.HasErrors() {
		return false, fmt.Errorf("read the variables of the jobs: %w", problems)
	}
	attributes, problems := file.Body.JustAttributes()
	if problems.HasErrors() {
		return false, fmt.Errorf("read the variables of the jobs: %w", problems)
	}
	its, ok := attributes[acme]
	if !ok {
		return false, nil
	}
	value, problems := its.Expr.Value(nil)
	if problems.HasErrors() {
		return false, fmt.Errorf("read the variable acme in %s: %w", f.Vars, problems)
	}
	if !value.Type().IsObjectType() || !value.Type().HasAttribute("domains") {
		return false, fmt.Errorf("the variable acme in %s has no domains", f.Vars)
	}
	domains := value.GetAttr("domains")
	if domains.IsNull() || !domains.CanIterateElements() {
		return false, fmt.Errorf("the domains of the variable acme in %s are no list", f.Vars)
	}
	return domains.LengthInt() > 0, nil
}

// deployACME submits the job where the variables want it, else Nomad forgets it.
func (f Files) deployACME(ctx context.Context, c *cluster.Cluster) error {
	wanted, err := f.Certified()
	if err != nil {
		return err
	}
	if !wanted {
		return Purge(ctx, c, acme)
	}
	if err := f.Submit(ctx, c, acme, nil); err != nil {
		return err
	}
	return firstRun(ctx, c, acme)
}
