"""What a customer's program would do, by a client that was made from the API's document: it adds a book, buys it, and is
refused when it orders more. Arguments: the shop's address and a token; what it says is one line."""

import sys
import time

from online_book_store_client import AuthenticatedClient
from online_book_store_client.api.books import create_book
from online_book_store_client.api.orders import get_order, place_order
from online_book_store_client.models import NewBook, NewOrder, Order, OrderConflictProblem, OrderItem

address, token = sys.argv[1:]
client = AuthenticatedClient(base_url=address, token=token, timeout=30)
key = f"python-client-{time.time_ns()}"

book = NewBook(title="Bought by a Python client", authors=["A. Generator"], price_cents=1250, currency="EUR", quantity=1)
added = create_book.sync_detailed(client=client, body=book)
assert added.status_code == 201, added
order = NewOrder(customer_id="python-client", items=[OrderItem(book_id=added.parsed.id, quantity=1)])

placed = place_order.sync_detailed(client=client, body=order, idempotency_key=key)
assert placed.status_code == 201 and isinstance(placed.parsed, Order), placed
assert placed.parsed.total_cents == 1250 and placed.parsed.status.value == "placed", placed

none = place_order.sync_detailed(client=client, body=order, idempotency_key=key + "-2")
assert none.status_code == 409 and isinstance(none.parsed, OrderConflictProblem), none
assert none.parsed.code.value == "out_of_stock" and none.parsed.books[0].book_id == added.parsed.id, none

read = get_order.sync_detailed(placed.parsed.id, client=client)
assert isinstance(read.parsed, Order) and read.parsed.items[0].title == "Bought by a Python client", read
print("bought", read.parsed.id)
