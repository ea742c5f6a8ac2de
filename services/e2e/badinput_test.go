//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// bad is one request that must be refused, and how. An empty field means that the problem
// is about no single field.
type bad struct {
	name   string
	call   shoptest.Call
	status int
	code   string
	field  string
}

// bookWith is a good book's body with one member replaced by raw JSON.
func bookWith(member, raw string) string {
	good := map[string]string{
		"title": `"Bad input"`, "authors": `["E. Two"]`, "priceCents": "100", "currency": `"EUR"`, "quantity": "1",
	}
	if good[member] = raw; raw == "" {
		delete(good, member)
	}
	var members []string
	for name, value := range maps.All(good) {
		members = append(members, fmt.Sprintf("%q:%s", name, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func badBooks(id int64) []bad {
	post := func(name, body string, status int, code, field string) bad {
		return bad{name, shoptest.Call{Method: "POST", Path: "/books", Body: body}, status, code, field}
	}
	stock := func(name, body string, status int, code, field string) bad {
		return bad{name, shoptest.Call{Method: "POST", Path: fmt.Sprintf("/books/%d/stock", id), Body: body}, status, code, field}
	}
	get := func(name, path string, status int, code, field string) bad {
		return bad{name, shoptest.Call{Method: "GET", Path: path}, status, code, field}
	}
	const broken, invalid = "malformed_request", "invalid_field"
	return []bad{
		post("unknown field", bookWith("colour", `"red"`), 400, broken, "colour"),
		post("number for a text", bookWith("title", "7"), 400, broken, "title"),
		post("text for a number", bookWith("priceCents", `"100"`), 400, broken, "priceCents"),
		post("fraction of a cent", bookWith("priceCents", "9.5"), 400, broken, "priceCents"),
		post("number beyond 64 bits", bookWith("quantity", "99999999999999999999"), 400, broken, "quantity"),
		post("text for a list", bookWith("authors", `"E. Two"`), 400, broken, "authors"),
		post("number in the list", bookWith("authors", `["E. Two",2]`), 400, broken, "authors[1]"),
		post("field twice", `{"title":"a","title":"b","authors":["x"],"priceCents":1,"currency":"EUR","quantity":1}`, 400, broken, "title"),
		post("NUL character", bookWith("title", `"a\u0000b"`), 400, broken, "title"),
		post("invalid UTF-8", bookWith("title", "\"a\xffb\""), 400, broken, "title"),
		post("trailing data", bookWith("title", `"a"`)+"{}", 400, broken, ""),
		post("not JSON", "title=a", 400, broken, ""),
		post("no body", "", 400, broken, ""),
		post("a list for an object", "[]", 400, broken, ""),
		post("no title", bookWith("title", ""), 422, invalid, "title"),
		post("blank title", bookWith("title", `"  "`), 422, invalid, "title"),
		post("long title", bookWith("title", `"`+strings.Repeat("x", 10_000)+`"`), 422, invalid, "title"),
		post("no author", bookWith("authors", "[]"), 422, invalid, "authors"),
		post("empty author", bookWith("authors", `[""]`), 422, invalid, "authors[0]"),
		post("negative price", bookWith("priceCents", "-1"), 422, invalid, "priceCents"),
		post("absurd price", bookWith("priceCents", "999999999999999"), 422, invalid, "priceCents"),
		post("negative quantity", bookWith("quantity", "-1"), 422, invalid, "quantity"),
		post("absurd quantity", bookWith("quantity", "999999999999"), 422, invalid, "quantity"),
		post("no currency", bookWith("currency", ""), 422, invalid, "currency"),
		post("no such currency", bookWith("currency", `"EURO"`), 422, invalid, "currency"),
		post("wrong check digit", bookWith("isbn", `"9780306406158"`), 422, invalid, "isbn"),
		post("no such language", bookWith("language", `"english!"`), 422, invalid, "language"),
		post("title that nobody sees", bookWith("title", `"\u200b\u3164\u2800"`), 422, invalid, "title"),
		post("author of marks", bookWith("authors", `["\u0301\ufe0f"]`), 422, invalid, "authors[0]"),
		post("source's id that nobody sees", bookWith("sourceId", `"\u3164"`), 422, invalid, "sourceId"),
		post("ISBN of zeros", bookWith("isbn", `"0000000000"`), 422, invalid, "isbn"),
		post("long ISBN of zeros", bookWith("isbn", `"0000000000000"`), 422, invalid, "isbn"),
		post("no book's prefix", bookWith("isbn", `"1234567890128"`), 422, invalid, "isbn"),
		post("year zero", bookWith("publishedYear", "0"), 422, invalid, "publishedYear"),
		post("gold for a currency", bookWith("currency", `"XAU"`), 422, invalid, "currency"),
		post("absurd year", bookWith("publishedYear", "20080"), 422, invalid, "publishedYear"),
		stock("no change of stock", `{"delta":0}`, 422, invalid, "delta"),
		stock("absurd change of stock", `{"delta":-999999999999}`, 422, invalid, "delta"),
		stock("fraction of a copy", `{"delta":1.5}`, 400, broken, "delta"),
		get("no number for an id", "/books/abc", 404, "book_not_found", ""),
		get("negative id", "/books/-1", 404, "book_not_found", ""),
		get("id beyond 64 bits", "/books/99999999999999999999", 404, "book_not_found", ""),
		get("unknown id", "/books/999999999999", 404, "book_not_found", ""),
		get("parameter that is not there", fmt.Sprintf("/books/%d?x=1", id), 400, "unexpected_parameter", "x"),
		get("page of none", "/books?limit=0", 422, invalid, "limit"),
		get("page too long", "/books?limit=101", 422, invalid, "limit"),
		get("page of text", "/books?limit=ten", 422, invalid, "limit"),
		get("cursor made up", "/books?cursor=bm90aGluZw", 422, invalid, "cursor"),
		get("cursor of no alphabet", "/books?cursor=%21%21", 422, invalid, "cursor"),
		get("no such order of a list", "/books?sort=evil", 422, invalid, "sort"),
		get("NUL in a search", "/books?q=a%00b", 422, invalid, "q"),
		get("invalid UTF-8 in a search", "/books?q=%ff", 422, invalid, "q"),
	}
}

func badOrders(id int64) []bad {
	// order is a request with items in raw JSON.
	order := func(name, body string, status int, code, field string) bad {
		k := shoptest.Call{Method: "POST", Path: "/orders", Body: body, Header: map[string]string{"Idempotency-Key": uuid.NewString()}}
		return bad{name, k, status, code, field}
	}
	items := func(raw string) string { return `{"customerId":"bad","items":[` + raw + `]}` }
	item := func(quantity string) string { return fmt.Sprintf(`{"bookId":%d,"quantity":%s}`, id, quantity) }
	withKey := func(name, key string, status int, code, field string) bad {
		b := order(name, items(item("1")), status, code, field)
		b.call.Header["Idempotency-Key"] = key
		return b
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"bookId":%d,"quantity":1}`, i+1)
	}
	const broken, invalid, first = "malformed_request", "invalid_field", "items[0].quantity"
	return []bad{
		order("unknown field", `{"customerId":"bad","coupon":"x","items":[`+item("1")+`]}`, 400, broken, "coupon"),
		order("unknown field of an item", items(fmt.Sprintf(`{"bookId":%d,"quantity":1,"price":1}`, id)), 400, broken, "items[0].price"),
		order("text for a quantity", items(item(`"1"`)), 400, broken, first),
		order("half a copy", items(item("0.5")), 400, broken, first),
		order("quantity beyond 64 bits", items(item("99999999999999999999")), 400, broken, first),
		order("no copies", items(item("0")), 422, invalid, first),
		order("negative quantity", items(item("-1")), 422, invalid, first),
		order("absurd quantity", items(item("9223372036854775807")), 422, invalid, first),
		order("no items", items(""), 422, invalid, "items"),
		order("no items at all", `{"customerId":"bad"}`, 422, invalid, "items"),
		order("101 items", items(strings.Join(many, ",")), 422, invalid, "items"),
		order("the same book twice", items(item("1")+","+item("2")), 422, invalid, "items[1].bookId"),
		order("no book", items(`{"quantity":1}`), 422, invalid, "items[0].bookId"),
		order("negative id", items(`{"bookId":-1,"quantity":1}`), 422, invalid, "items[0].bookId"),
		order("unknown book", items(item("1")+`,{"bookId":999999999999,"quantity":1}`), 422, "book_not_found", "items[1].bookId"),
		order("negative price", items(fmt.Sprintf(`{"bookId":%d,"quantity":1,"unitPriceCents":-1}`, id)), 422, invalid, "items[0].unitPriceCents"),
		order("text for a price", items(fmt.Sprintf(`{"bookId":%d,"quantity":1,"unitPriceCents":"9"}`, id)), 400, broken, "items[0].unitPriceCents"),
		order("customer that nobody sees", `{"customerId":"\u3164","items":[`+item("1")+`]}`, 422, invalid, "customerId"),
		order("no customer", `{"items":[`+item("1")+`]}`, 422, invalid, "customerId"),
		order("long customer", `{"customerId":"`+strings.Repeat("x", 5000)+`","items":[`+item("1")+`]}`, 422, invalid, "customerId"),
		order("NUL in the customer", `{"customerId":"a\u0000","items":[`+item("1")+`]}`, 400, broken, "customerId"),
		order("invalid UTF-8 in the customer", "{\"customerId\":\"\xc3\x28\",\"items\":["+item("1")+"]}", 400, broken, "customerId"),
		withKey("no key", "", 400, "idempotency_key_required", ""),
		withKey("long key", strings.Repeat("k", 129), 422, invalid, "Idempotency-Key"),
		withKey("key with a space", "a b", 422, invalid, "Idempotency-Key"),
		{"unknown order", shoptest.Call{Method: "GET", Path: "/orders/" + uuid.NewString()}, 404, "order_not_found", ""},
		{"no order's id", shoptest.Call{Method: "GET", Path: "/orders/1"}, 404, "order_not_found", ""},
		{"cancel of an unknown order", shoptest.Call{Method: "POST", Path: "/orders/" + uuid.NewString() + "/cancel"}, 404, "order_not_found", ""},
		{"no such status", shoptest.Call{Method: "GET", Path: "/orders?customerId=bad&status=lost"}, 422, invalid, "status"},
		{"parameter that is not there", shoptest.Call{Method: "GET", Path: "/orders?customer=bad"}, 400, "unexpected_parameter", "customer"},
	}
}

func badHTTP(id int64) []bad {
	plain := map[string]string{"Content-Type": "text/plain"}
	none := map[string]string{"Content-Type": ""}
	keyed := map[string]string{"Idempotency-Key": uuid.NewString()}
	huge := bookWith("title", `"`+strings.Repeat("x", 10<<20)+`"`)
	good := bookWith("title", `"a"`)
	return []bad{
		{"wrong content type", shoptest.Call{Method: "POST", Path: "/books", Body: good, Header: plain}, 415, "unsupported_media_type", ""},
		{"no content type", shoptest.Call{Method: "POST", Path: "/books", Body: good, Header: none}, 415, "unsupported_media_type", ""},
		{"10 MB for a book", shoptest.Call{Method: "POST", Path: "/books", Body: huge}, 413, "body_too_large", ""},
		{"10 MB for an order", shoptest.Call{Method: "POST", Path: "/orders", Body: huge, Header: keyed}, 413, "body_too_large", ""},
		{"wrong method for books", shoptest.Call{Method: "DELETE", Path: "/books"}, 405, "method_not_allowed", ""},
		{"wrong method for an order", shoptest.Call{Method: "PUT", Path: "/orders/" + uuid.NewString(), Body: good}, 405, "method_not_allowed", ""},
		{"wrong method for a stock", shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d/stock", id)}, 405, "method_not_allowed", ""},
		{"no such path", shoptest.Call{Method: "GET", Path: "/shelves"}, 404, "not_found", ""},
		{"internal path", shoptest.Call{Method: "POST", Path: "/internal/quotes", Body: `{"bookIds":[1]}`}, 404, "not_found", ""},
		{"internal path in disguise", shoptest.Call{Method: "GET", Path: "/books/..%2finternal%2fquotes"}, 404, "not_found", ""},
	}
}

// Whatever is sent, the answer is a problem that says what is wrong and where, and nothing
// is stored.
func TestBadInputIsRefusedAndStoresNothing(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Good among the bad", 5)
	before := stored(t)
	for kind, table := range map[string][]bad{"books": badBooks(b.ID), "orders": badOrders(b.ID), "http": badHTTP(b.ID)} {
		for _, bad := range table {
			t.Run(kind+"/"+bad.name, func(t *testing.T) {
				a, err := c.Try(t.Context(), bad.call)
				if err != nil {
					t.Fatal(err)
				}
				p := requireProblem(t, a, bad.status, bad.code)
				if a.Status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
					t.Error("405 without Allow")
				}
				named := bad.field == ""
				for _, e := range p.Errors {
					named = named || (e.Field == bad.field && e.Code != "" && e.Detail != "")
				}
				if !named {
					t.Errorf("the problem does not name %q: %s", bad.field, a.Body)
				}
			})
		}
	}
	if after := stored(t); !maps.Equal(before, after) {
		t.Errorf("rows before %v and after %v", before, after)
	}
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies left of 5", left)
	}
	cluster.RequireNothingInDoubt(t)
}

// stored counts what a request can leave behind.
func stored(t *testing.T) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for database, tables := range map[string][]string{
		"bookdb": {"books", "stock", "stock_movements"}, "orderdb": {"orders", "order_items"},
	} {
		conn := cluster.Leader(t, database)
		for _, table := range tables {
			counts[table] = cluster.Number(t, conn, "select count(*) from "+table)
		}
	}
	return counts
}

func badCheckouts(id int64) []bad {
	item := fmt.Sprintf(`{"bookId":%d,"quantity":1}`, id)
	body := func(customer, items, payment, more string) string {
		return fmt.Sprintf(`{"customerId":%q,"items":[%s],"payment":%s%s}`, customer, items, payment, more)
	}
	post := func(name, body string, status int, code, field string) bad {
		k := shoptest.Call{Method: "POST", Path: "/checkouts", Body: body, Header: map[string]string{"Idempotency-Key": uuid.NewString()}}
		return bad{name, k, status, code, field}
	}
	withKey := func(name, key string, status int, code, field string) bad {
		b := post(name, body("bad", item, `{"method":"card","token":"tok_ok"}`, ""), status, code, field)
		b.call.Header["Idempotency-Key"] = key
		return b
	}
	const broken, invalid, card = "malformed_request", "invalid_field", `{"method":"card","token":"tok_ok"}`
	return []bad{
		post("unknown field", body("bad", item, card, `,"coupon":"x"`), 400, broken, "coupon"),
		post("unknown field of the payment", body("bad", item, `{"method":"card","token":"tok_ok","cvc":1}`, ""), 400, broken, "payment.cvc"),
		post("text for a truth", body("bad", item, card, `,"requiresApproval":"yes"`), 400, broken, "requiresApproval"),
		post("text for a payment", body("bad", item, `"card"`, ""), 400, broken, "payment"),
		post("NUL in the token", body("bad", item, `{"method":"card","token":"tok\u0000ok"}`, ""), 400, broken, "payment.token"),
		post("trailing data", body("bad", item, card, "")+"{}", 400, broken, ""),
		post("no payment", fmt.Sprintf(`{"customerId":"bad","items":[%s]}`, item), 422, invalid, "payment.method"),
		post("no method", body("bad", item, `{"token":"tok_ok"}`, ""), 422, invalid, "payment.method"),
		post("no such method", body("bad", item, `{"method":"barter","token":"tok_ok"}`, ""), 422, invalid, "payment.method"),
		post("no token", body("bad", item, `{"method":"card"}`, ""), 422, invalid, "payment.token"),
		post("long token", body("bad", item, `{"method":"card","token":"`+strings.Repeat("t", 5000)+`"}`, ""), 422, invalid, "payment.token"),
		post("no items", body("bad", "", card, ""), 422, invalid, "items"),
		post("no copies", body("bad", fmt.Sprintf(`{"bookId":%d,"quantity":0}`, id), card, ""), 422, invalid, "items[0].quantity"),
		post("the same book twice", body("bad", item+","+item, card, ""), 422, invalid, "items[1].bookId"),
		post("unknown book", body("bad", item+`,{"bookId":999999999999,"quantity":1}`, card, ""), 422, "book_not_found", "items[1].bookId"),
		post("no customer", body("", item, card, ""), 422, invalid, "customerId"),
		post("long customer", body(strings.Repeat("x", 5000), item, card, ""), 422, invalid, "customerId"),
		withKey("no key", "", 400, "idempotency_key_required", ""),
		withKey("long key", strings.Repeat("k", 129), 422, invalid, "Idempotency-Key"),
		withKey("key with a space", "a b", 422, invalid, "Idempotency-Key"),
	}
}

// Whatever is sent, the answer is a problem that says what is wrong and where: no saga
// begins, no copy and no money moves.
func TestBadCheckoutsAreRefused(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Good among bad checkouts", 5)
	const under = "select count(*) from sagas where wake_at is not null or state = 'completed'"
	before, payments := cluster.Number(t, cluster.Leader(t, "coordinatordb"), under), cluster.Number(t, cluster.Leader(t, "paymentdb"), "select count(*) from payments")
	for _, bad := range badCheckouts(b.ID) {
		t.Run(bad.name, func(t *testing.T) {
			a := c.Do(t, bad.call)
			p := requireProblem(t, a, bad.status, bad.code)
			named := bad.field == ""
			for _, e := range p.Errors {
				named = named || (e.Field == bad.field && e.Code != "" && e.Detail != "")
			}
			if !named {
				t.Errorf("the problem does not name %q: %s", bad.field, a.Body)
			}
		})
	}
	if after := cluster.Number(t, cluster.Leader(t, "coordinatordb"), under); after != before {
		t.Errorf("%d sagas have begun", after-before)
	}
	if after := cluster.Number(t, cluster.Leader(t, "paymentdb"), "select count(*) from payments"); after != payments {
		t.Errorf("%d payments were made", after-payments)
	}
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies left of 5", left)
	}
}
