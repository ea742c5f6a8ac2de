// Package webtest is for tests that run a web app.
package webtest

import "go.uber.org/goleak"

// Leaks are fasthttp's goroutines that outlive a server: one for the whole process that renews the Date header, and each
// worker pool's cleaner, which notices the end only after its next pause of ten seconds.
func Leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}
}
