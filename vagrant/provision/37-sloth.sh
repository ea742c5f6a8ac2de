#!/usr/bin/env bash
# Sloth, from its pinned Go module: it makes the rules of the SLOs (jobs/prometheus/slo), for 'task jobs:generate' and the test that
# holds them equal.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

CGO_ENABLED=0 build_tool sloth github.com/slok/sloth/cmd/sloth
