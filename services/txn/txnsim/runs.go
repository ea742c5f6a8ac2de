//go:build !race

package txnsim

// Runs is how many runs a test plays.
const Runs = 2000
