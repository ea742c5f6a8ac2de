package rotate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/wait"
)

// The files of the CA. While one CA follows another, caFile has the certificates of both, the old one first.
const (
	caFile, caKey = "ca.pem", "ca-key.pem"
)

// learned is how long a task may go on with the CA that it was given before: templates are rendered at once, the tasks
// read the file with their next connection.
const learned = 10 * time.Second

// agents gives the agents new certificates. Both kinds take any of the CA, so nobody has to change first.
func (s *Shop) agents(ctx context.Context) error {
	if err := s.alone(ctx); err != nil {
		return err
	}
	if err := s.Machine.Certify(ctx); err != nil {
		return err
	}
	s.Out.Sayf("the agents have new certificates")
	return nil
}

// ca gives the shop a new CA in three steps: everybody trusts both; the agents' certificates are made anew by the new one;
// everybody trusts that one alone. Nomad reads whom to trust at Consul when it starts, so it is started anew in
// between: else it would not take the certificate that Consul shows then.
func (s *Shop) ca(ctx context.Context) error {
	if err := s.alone(ctx); err != nil {
		return err
	}
	to, err := s.successorCA(ctx)
	if err != nil {
		return err
	}
	from, err := s.read(caFile)
	if err != nil {
		return err
	}
	if !strings.Contains(from, to) {
		from += "\n" + to
	}
	if err := s.trust(ctx, from); err != nil {
		return err
	}
	if err := s.Machine.Restart(ctx); err != nil {
		return err
	}
	s.Out.Sayf("agents and jobs trust both CAs")
	if err := s.Machine.Certify(ctx); err != nil {
		return err
	}
	if err := s.certifyOthers(ctx, to); err != nil {
		return err
	}
	s.Out.Sayf("the agents, the door and the S3 server have certificates of the new one")
	if err := s.trust(ctx, to); err != nil {
		return err
	}
	if err := s.Machine.Restart(ctx); err != nil {
		return err
	}
	if err := s.Machine.Operator(ctx); err != nil { // and gives it to customers
		return err
	}
	if err := s.succeedCA(); err != nil {
		return err
	}
	s.Out.Sayf("the old one is void")
	return nil
}

// certifyOthers gives the door the certificate that this machine has made for it, and the S3 server one of a CA.
func (s *Shop) certifyOthers(ctx context.Context, certificate string) error {
	if _, err := provide.Certificate(ctx, s.Cluster); err != nil {
		return err
	}
	key, err := s.read(caKey + next)
	if errors.Is(err, fs.ErrNotExist) { // it has taken its place already
		key, err = s.read(caKey)
	}
	if err != nil {
		return err
	}
	_, err = provide.S3Certificate(ctx, s.Cluster, certificate, key)
	return err
}

// trust has everybody trust these certificates: the agents, Consul where it asks Nomad for the keys of identities, the jobs.
func (s *Shop) trust(ctx context.Context, certificates string) error {
	if err := s.keep(caFile, certificates); err != nil {
		return err
	}
	if err := s.Machine.Reload(); err != nil {
		return err
	}
	if err := s.reopen(); err != nil {
		return err
	}
	if err := provide.TrustCA(ctx, s.Cluster, provide.Keys{CA: certificates, JWKS: provide.JWKS}); err != nil {
		return err
	}
	if !wait.For(ctx, learned) {
		return ctx.Err()
	}
	return nil
}

// successorCA is the certificate of the CA that is to come: the one that a run before this made, or a new one. Its key is
// kept first, so that no certificate is without.
func (s *Shop) successorCA(ctx context.Context) (string, error) {
	kept, err := s.read(caFile + next)
	if err == nil {
		s.Out.Sayf("going on with the CA that was begun")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	certificate, key, err := s.Machine.NewCA(ctx)
	if err == nil {
		err = s.keep(caKey+next, key)
	}
	if err == nil {
		err = s.keep(caFile+next, certificate)
	}
	return strings.TrimSpace(certificate), err
}

// succeedCA has the new CA's key take the old one's place. The certificate's file, which says that this is under way,
// goes last.
func (s *Shop) succeedCA() error {
	if err := s.succeed(caKey); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(filepath.Join(s.Dir, caFile+next))
}

// alone says whether this is the only machine: of others this one cannot change the files.
func (s *Shop) alone(ctx context.Context) error {
	machines, _, err := s.Cluster.Consul.Catalog().Nodes(cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("list the machines: %w", err)
	}
	if len(machines) > 1 {
		return fmt.Errorf("the shop has %d machines, and this changes the files of one: see vagrant/README.md", len(machines))
	}
	return nil
}
