#!/usr/bin/env bash
# Alertmanager, from its pinned Go module: for its image and for the tests of its settings.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

CGO_ENABLED=0 build_tool alertmanager github.com/prometheus/alertmanager/cmd/alertmanager
