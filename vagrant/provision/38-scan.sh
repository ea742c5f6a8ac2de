#!/usr/bin/env bash
# Looks for published holes: in the Go programs with govulncheck, in the images' bills of materials with grype or trivy, where
# one is on the PATH. Fails for what is found. A database that cannot be reached is said, and is no failure.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

# scan WHAT SETTING COMMAND… runs a scanner; SETTING says what to do where it has no database.
scan() {
	local what=$1 setting=$2 said status=0
	shift 2
	said=$("$@" 2>&1) || status=$?
	if [ "$status" = 0 ]; then
		say "  $what: nothing known"
	elif grep -qiE 'no such host|dial tcp|connection refused|i/o timeout|deadline exceeded|failed to (load|download|update) .*(db|database)|db.*(update|download)|status code' <<<"$said"; then
		say "  $what: not scanned, no database could be reached; $setting"
		unscanned=1
	else
		printf '%s\n' "$said" | sed 's/^/    /'
		say "  $what: see above (status $status)"
		found=1
	fi
}

bash "$PROVISION/37-sbom.sh"
build_tool govulncheck golang.org/x/vuln/cmd/govulncheck
unscanned='' found=''
for program in "$CACHE"/services/* "$CACHE/warehouse"; do
	[ -z "$unscanned" ] || break
	scan "$(basename "$program") (govulncheck)" "set GOVULNDB to a copy of Go's vulnerability database (an https:// or file:// URL)" \
		timeout 300 govulncheck -db "${GOVULNDB:-https://vuln.go.dev}" -mode=binary "$program"
done
unscanned=
for sbom in "$CACHE"/sbom/*.cdx.json; do
	[ -z "$unscanned" ] || break
	image=$(basename "$sbom" .cdx.json)
	if command -v grype >/dev/null; then
		scan "$image (grype)" "set GRYPE_DB_UPDATE_URL, or GRYPE_DB_CACHE_DIR and GRYPE_DB_AUTO_UPDATE=false" \
			timeout 600 grype "sbom:$sbom" --quiet --only-fixed --fail-on high
	elif command -v trivy >/dev/null; then
		scan "$image (trivy)" "set TRIVY_DB_REPOSITORY, or TRIVY_CACHE_DIR and TRIVY_SKIP_DB_UPDATE=true" \
			timeout 600 trivy sbom --quiet --ignore-unfixed --severity HIGH,CRITICAL --exit-code 1 "$sbom"
	else
		say "  images: not scanned, neither grype nor trivy is on the PATH; either reads $CACHE/sbom/*.cdx.json"
		break
	fi
done
[ -z "$found" ] || die "there are known holes: see above; 'go tool task images:update' takes the fixes that Debian has"
