// Package e2e tests the running system through the Consul ingress.
//
//	go test -tags e2e -count=1 ./services/e2e
//
// It needs the whole system (go tool task up) and two tokens in the environment:
// BOOKSTORE_TEST_TOKEN and BOOKSTORE_OPERATOR_TOKEN. BASE_URL may name another address of
// the ingress on this machine; other machines are refused. Consul, Nomad and Prometheus are
// reached on 127.0.0.1, PostgreSQL at the address its leader has in Consul.
//
// Tests run one after the other, since they share one system, and each removes what it added:
// it deletes its books and restores counts of instances. Everything is bounded in count and
// time. A condition is polled for, never slept for.
//
// Every answer is checked against the API's document (/openapi.json): status, headers and body.
// One that is not documented fails the test that got it.
//
// # Examples in the README
//
// Every fenced bash block of the repository's README.md that follows a line
//
//	<!-- test -->
//
// is run by TestReadmeExamples, from the top of the repository, with bash -euo pipefail.
// All blocks of the file are one script in their order, so one may set a variable that a
// later one uses, as a reader would who types along.
package e2e
