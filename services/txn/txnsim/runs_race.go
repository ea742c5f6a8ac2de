//go:build race

package txnsim

// Runs is how many runs a test plays: with the race detector each takes ten times as long.
const Runs = 150
