#!/usr/bin/env bash
# Loads the repository's catalogue into an empty shop and buys a book through the ingress.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

BASE=http://127.0.0.1:8080
token() { curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2Fgateway" | jq -r ".Items.${1}_token"; }
open() { curl -fsS -m 5 "$BASE/books?limit=1"; }

wait_for 60 "the shop behind $BASE" open
if [ "$(open | jq '.items | length')" = 0 ]; then
	BOOKSTORE_TOKEN=$(token import) "$CACHE/services/catalogue" import "$ROOT/services/catalogue/books.csv"
fi

# One order a shop: a shop that has it is left as it is.
orders=$(curl -fsS "$BASE/orders?customerId=first-order&limit=1")
if [ "$(jq '.items | length' <<<"$orders")" = 0 ] || [ "${1:-}" = --again ]; then
	book=$(curl -fsS "$BASE/books?limit=100" | jq '[.items[] | select(.inStock)][0].id')
	order=$(curl -fsS --retry 5 --retry-all-errors -X POST "$BASE/orders" -H 'Content-Type: application/json' \
		-H "Idempotency-Key: first-order-$(date +%s)" \
		-d "{\"customerId\":\"first-order\",\"items\":[{\"bookId\":$book,\"quantity\":1}]}")
	say "  bought: $(jq -r '"\(.items[0].title), order \(.id), \(.totalCents) \(.currency)-cents"' <<<"$order")"
else
	say "  the first order is there: $(jq -r '.items[0].id' <<<"$orders")"
fi
