// Package members tests members of the database alone, without Nomad: some in their image, in a network of their own with a
// Consul, and no archive that would take anything.
package members
