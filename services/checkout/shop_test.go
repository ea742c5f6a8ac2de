package checkout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"bookstore/services/books/bookshttp"
	"bookstore/services/books/bookspg"
	"bookstore/services/checkout"
	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/payments"
	"bookstore/services/payments/paymentshttp"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/stepspg"
	"bookstore/services/platform/call"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
	"bookstore/services/txn/txnpg"
)

func TestMain(m *testing.M) {
	// A goroutine of a stopped fasthttp server sleeps for up to ten seconds.
	pgtest.Main(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// shop is the four services over four real databases, talking over real
// HTTP on ports of their own.
type shop struct {
	t            *testing.T
	name         string // in keys: gids are unique in a cluster, which the tests share
	books        *pgxpool.Pool
	orders       *pgxpool.Pool
	payments     *pgxpool.Pool
	transactions *pgxpool.Pool
	booksURL     string
	ordersURL    string
	paymentsURL  string
	url          string // of the coordinator
	service      *checkout.Service
	metrics      *prometheus.Registry // of the coordinator begun last
	http         *http.Client
}

// faults stand between the coordinator and a branch: called before the real
// participant, an error is the answer in its place.
type faults struct {
	twophase.Participant
	prepare, commit, abort func(m twophase.Message) error
}

func (f *faults) Prepare(ctx context.Context, m twophase.Message, payload any) error {
	if f.prepare != nil {
		if err := f.prepare(m); err != nil {
			return err
		}
	}
	return f.Participant.Prepare(ctx, m, payload)
}

func (f *faults) Commit(ctx context.Context, m twophase.Message) error {
	if f.commit != nil {
		if err := f.commit(m); err != nil {
			return err
		}
	}
	return f.Participant.Commit(ctx, m)
}

func (f *faults) Abort(ctx context.Context, m twophase.Message) error {
	if f.abort != nil {
		if err := f.abort(m); err != nil {
			return err
		}
	}
	return f.Participant.Abort(ctx, m)
}

// options are what tests change about the shop.
type options struct {
	deadline time.Duration // of requests to the coordinator
	times    func(*twophase.Settings)
	sagas    func(*saga.Settings)
	// checkouts changes how long sagas may take.
	checkouts func(*checkout.Settings)
	books     faults
	orders    faults
	servers   map[string]*pgtest.Instance // by service; the tests' common one where there is none
	closed    bool                        // no coordinator yet: begin starts one
	// transactions is another way to the coordinator's database than the shop's own.
	transactions *pgxpool.Pool
}

// database makes the database of a service.
func (o *options) database(t *testing.T, service string, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	if server, ok := o.servers[service]; ok {
		return server.Database(t, migrations)
	}
	return pgtest.Database(t, migrations)
}

func open(t *testing.T, o options) *shop {
	t.Helper()
	s := &shop{
		t:            t,
		name:         uuid.NewString(),
		books:        o.database(t, "books", bookspg.Migrations),
		orders:       o.database(t, "orders", orderspg.Migrations),
		payments:     o.database(t, "payments", paymentspg.Migrations),
		transactions: o.database(t, "coordinator", txnpg.Migrations),
		http:         &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	t.Cleanup(s.http.CloseIdleConnections)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))

	booksApp := web.New(web.Options{Service: "books", Log: log})
	bookshttp.Routes(booksApp, bookspg.New(s.books), time.Now)
	bookshttp.Participate(booksApp, participant.New(s.books, "books", log, nil),
		bookshttp.Changes{Branch: bookspg.Branch, ReserveStock: bookspg.ReserveStock, Restock: bookspg.Restock})
	s.booksURL = serve(t, booksApp)

	ordersApp := web.New(web.Options{Service: "orders", Log: log})
	ordershttp.Routes(ordersApp, orderspg.New(s.orders))
	ordershttp.Participate(ordersApp, participant.New(s.orders, "orders", log, nil), ordershttp.Changes{
		Branch: orderspg.Branch, CreateOrder: orderspg.CreateOrder, MarkReturned: orderspg.MarkReturned,
	})
	s.ordersURL = serve(t, ordersApp)

	paymentsApp := web.New(web.Options{Service: "payments", Log: log})
	provider := payments.NewSimulator(paymentspg.NewAttempts(s.payments), payments.Lateness)
	paymentshttp.Participate(paymentsApp, stepspg.New(participant.New(s.payments, "payments", log, nil), paymentspg.New(s.payments), provider,
		3*time.Second, time.Now, prometheus.NewRegistry()))
	s.paymentsURL = serve(t, paymentsApp)

	if o.closed {
		s.url = "http://" + freeAddress(t)
		return s
	}
	s.begin("one", &o)
	return s
}

// begin starts a coordinator that answers requests, where its URL is known already.
func (s *shop) begin(owner string, o *options) {
	s.t.Helper()
	s.service = s.coordinator(owner, o)
	app := web.New(web.Options{Service: "coordinator", Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Deadline: o.deadline})
	checkouthttp.Routes(app, s.service)
	address := "127.0.0.1:0"
	if s.url != "" {
		address = strings.TrimPrefix(s.url, "http://")
	}
	s.url = serveAt(s.t, app, address)
}

// freeAddress returns an address that no server listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// coordinator starts one more coordinator over the same databases.
func (s *shop) coordinator(owner string, o *options) *checkout.Service {
	s.t.Helper()
	books := call.New(s.booksURL, call.Options{Destination: "books"})
	orders := call.New(s.ordersURL, call.Options{Destination: "orders"})
	o.books.Participant = txnhttp.NewParticipant(books)
	o.orders.Participant = txnhttp.NewParticipant(orders)
	settings := twophase.DefaultSettings(owner)
	if o.times != nil {
		o.times(&settings)
	}
	if o.transactions != nil {
		s.transactions = o.transactions
	}
	sagas := s.sagas(books, orders, o)
	s.metrics = prometheus.NewRegistry()
	engine, err := twophase.New(twophase.Dependencies{
		Store:        txnpg.New(s.transactions, settings),
		Participants: map[string]twophase.Participant{"books": &o.books, "orders": &o.orders},
		Metrics:      twophase.NewMetrics(s.metrics),
		Log:          slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	}, settings)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := engine.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := engine.Stop(ctx); err != nil {
			s.t.Error(err)
		}
		books.Close()
		orders.Close()
	})
	times := checkout.DefaultSettings()
	if o.checkouts != nil {
		o.checkouts(&times)
	}
	service, err := checkout.New(checkout.Dependencies{
		Transactions: engine, Sagas: sagas, Quotes: checkouthttp.NewQuotes(books), Orders: checkouthttp.NewOrders(orders),
		Clock: time.Now, NewID: newID,
	}, times)
	if err != nil {
		s.t.Fatal(err)
	}
	return service
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// sagas starts an engine; it stops after the coordinator that uses it.
func (s *shop) sagas(books, orders *call.Client, o *options) *saga.Engine {
	s.t.Helper()
	settings := saga.DefaultSettings()
	if o.sagas != nil {
		o.sagas(&settings)
	}
	payments := call.New(s.paymentsURL, call.Options{Destination: "payments"})
	engine, err := saga.NewEngine(saga.Options{
		Store:       txnpg.NewSagas(s.transactions),
		Definitions: checkout.Sagas(),
		Participants: map[string]saga.Participant{
			"books": txnhttp.NewSteps(books), "orders": txnhttp.NewSteps(orders), "payments": txnhttp.NewSteps(payments),
		},
		NewID: newID, Metrics: saga.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Settings: settings,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := engine.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := engine.Stop(ctx); err != nil {
			s.t.Error(err)
		}
		payments.Close()
	})
	return engine
}

// serve runs app on a port of its own until the test ends.
func serve(t *testing.T, app *fiber.App) string {
	t.Helper()
	return serveAt(t, app, "127.0.0.1:0")
}

func serveAt(t *testing.T, app *fiber.App, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = app.ShutdownWithContext(ctx)
		_ = listener.Close()
		<-ended
	})
	return "http://" + listener.Addr().String()
}

// book adds a book and returns its id.
func (s *shop) book(title string, cents, quantity int64) int64 {
	s.t.Helper()
	body := fmt.Sprintf(`{"title":%q,"authors":["A"],"priceCents":%d,"currency":"EUR","quantity":%d}`, title, cents, quantity)
	a := s.send(http.MethodPost, s.booksURL+"/books", body)
	if a.status != http.StatusCreated {
		s.t.Fatalf("add a book: %d %s", a.status, a.text)
	}
	var b struct{ ID int64 }
	a.read(s.t, &b)
	return b.ID
}

func (s *shop) exec(pool *pgxpool.Pool, sql string, args ...any) {
	s.t.Helper()
	if _, err := pool.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// number reads one number.
func (s *shop) number(pool *pgxpool.Pool, sql string, args ...any) (n int64) {
	s.t.Helper()
	if err := pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) stock(book int64) int64 {
	s.t.Helper()
	return s.number(s.books, "SELECT quantity FROM stock WHERE book_id = $1", book)
}

type answer struct {
	status int
	header http.Header
	text   string
}

func (a answer) read(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), v); err != nil {
		t.Fatalf("%v in %s", err, a.text)
	}
}

func (a answer) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(a.text), &problem)
	return problem.Code
}

// want checks status and problem code.
func (a answer) want(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.text, status, code)
	}
	return a
}

func (s *shop) send(method, url, body string, headers ...string) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, url, err)
		return answer{}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, url, err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// key makes a test's name for a key the shop's own.
func (s *shop) key(name string) string { return name + "-" + s.name }

// gid names the first attempt of the usual customer.
func (s *shop) gid(key string) string { return twophase.GID("customer:c-1", s.key(key), 1) }

// buy orders copies of one book.
func (s *shop) buy(key string, book, quantity int64) answer {
	s.t.Helper()
	return s.order(key, fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":%d}]}`, book, quantity))
}

func (s *shop) order(key, body string, headers ...string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, s.url+"/orders", body, append([]string{"Idempotency-Key", s.key(key)}, headers...)...)
}

func (s *shop) cancel(id string, headers ...string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, s.url+"/orders/"+id+"/cancel", "", headers...)
}

// finished waits until no transaction is unfinished and no branch prepared,
// then checks what must hold of the databases at any such time.
func (s *shop) finished() {
	s.t.Helper()
	const prepared = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
	s.eventually("every transaction is finished", func() bool {
		return s.number(s.transactions, "SELECT count(*) FROM transactions WHERE finished_at IS NULL") == 0 &&
			s.number(s.books, prepared) == 0 && s.number(s.orders, prepared) == 0
	})
	if n := s.number(s.books, `SELECT count(*) FROM stock s WHERE quantity <>
		(SELECT coalesce(sum(delta), 0) FROM stock_movements m WHERE m.book_id = s.book_id)`); n != 0 {
		s.t.Errorf("the stock of %d books is not the sum of its movements", n)
	}
	sold := s.number(s.orders, `SELECT coalesce(sum(quantity), 0) FROM order_items JOIN orders ON orders.id = order_id WHERE status IN ('placed', 'paid')`)
	moved := s.number(s.books, `SELECT coalesce(-sum(delta), 0) FROM stock_movements WHERE cause IN ('order', 'cancel')`)
	if sold != moved {
		s.t.Errorf("%d copies are in orders, %d have left the stock", sold, moved)
	}
}

func (s *shop) eventually(what string, holds func() bool) {
	s.t.Helper()
	s.until(15*time.Second, what, holds)
}

// until polls until the condition holds.
func (s *shop) until(limit time.Duration, what string, holds func() bool) {
	s.t.Helper()
	deadline, tick := time.After(limit), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			s.t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
