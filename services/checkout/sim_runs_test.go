//go:build !race

package checkout_test

// simRuns is how many runs a test plays: ten seconds.
const simRuns = 2000
