#!/usr/bin/env bash
# The S3 server of the second backup repository, from its pinned Go module: for its image and for the tests of backups.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

CGO_ENABLED=0 build_tool versitygw github.com/versity/versitygw/cmd/versitygw
