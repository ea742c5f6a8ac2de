//go:build race

package checkout_test

// simRuns is how many runs a test plays: as long with the race detector.
const simRuns = 150
