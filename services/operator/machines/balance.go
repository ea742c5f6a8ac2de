package machines

import (
	"context"
	"fmt"
)

// Balance spreads the members of the database and the nodes of Redis over the machines that take work, as even as can be: after one
// was added. Broken off, it is simply run again.
func (f *Fleet) Balance(ctx context.Context) error {
	if err := f.wake(ctx); err != nil {
		return err
	}
	if err := f.restore(ctx); err != nil {
		return err
	}
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	for i, node := range s.at {
		if !s.up(node) {
			return fmt.Errorf("%s, where %s is, is down: start it, or take it away for good ('go tool shop machine remove --lost %s')", s.names[node], i.volume(), s.names[node])
		}
	}
	if err := f.purgeFormer(ctx, s); err != nil {
		return err
	}
	moved, err := f.moveAll(ctx, func(s *state) ([]move, error) { return s.even() })
	if err != nil {
		return err
	}
	if err := f.awaitWhole(ctx, "patroni", healWithin); err != nil {
		return err
	}
	if err := f.awaitApart(ctx); err != nil {
		return err
	}
	f.end(moved)
	return nil
}

// end says what is to be done elsewhere.
func (f *Fleet) end(moved []move) {
	f.Out.Sayf("%d moves; every machine has what it is to have", len(moved))
	if len(moved) == 0 {
		return
	}
	f.Out.Sayf("where Terraform owns the volumes, its state is to hear of them (terraform/README.md, \"Machines come and go\"):")
	for _, m := range moved {
		f.Out.Sayf(`  terraform state rm 'module.shop.module.volumes.nomad_dynamic_host_volume.this["%s"]'`, m.volume())
	}
}
