package rotate

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bookstore/services/operator/machine"
)

// next ends the name of a secret that is not in use yet.
const next = ".next"

// read is what a file of Dir keeps.
func (s *Shop) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, name))
	return strings.TrimSpace(string(text)), err
}

// keep writes a file of Dir.
func (s *Shop) keep(name, text string) error {
	return machine.KeepSecret(filepath.Join(s.Dir, name), []byte(strings.TrimSpace(text)+"\n"))
}

// successor is the secret that is to follow the one in a file: the one that a run before this kept, or a new one.
func (s *Shop) successor(name string, made func() string) (string, error) {
	kept, err := s.read(name + next)
	if err == nil && kept != "" {
		s.Out.Sayf("going on with the %s that was begun", name)
		return kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := made()
	return secret, s.keep(name+next, secret)
}

// succeed has the successor take the file's place.
func (s *Shop) succeed(name string) error {
	return os.Rename(filepath.Join(s.Dir, name+next), filepath.Join(s.Dir, name))
}

// gossipKey is one of 256 bits, as both agents read it.
func gossipKey() string {
	bits := make([]byte, 32)
	_, _ = rand.Read(bits) // it never fails
	return base64.StdEncoding.EncodeToString(bits)
}
