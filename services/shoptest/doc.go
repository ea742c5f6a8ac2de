// Package shoptest is what the tests of the shop share: one client of its API, whose answers
// are held to the API's document, and one load, which remembers what the shop acknowledged. It
// knows the shop from outside, and imports none of its code, so that a mistake in the shop is
// not a mistake of its tests too.
package shoptest
