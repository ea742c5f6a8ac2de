#!/usr/bin/env bash
# The linter of the tests, from its pinned Go module.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

build_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
