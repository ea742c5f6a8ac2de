package paymentshttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentshttp"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/stepspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) {
	// fasthttp keeps a clock for as long as the process lives.
	pgtest.Main(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// service is payments over a database of its own.
type service struct {
	t   *testing.T
	app *fiber.App
	log *strings.Builder
}

func newService(t *testing.T) service {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	log := &strings.Builder{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	app := web.New(web.Options{Service: "payments", Log: logger})
	store, provider := paymentspg.New(pool), payments.NewSimulator(paymentspg.NewAttempts(pool), time.Millisecond)
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	paymentshttp.Routes(app, store)
	paymentshttp.Participate(app, stepspg.New(participant.New(pool, "payments", logger, nil), store, provider, time.Second, now, nil))
	return service{t, app, log}
}

func (s service) call(method, path, body string) (int, string) {
	s.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response, err := s.app.Test(request, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

const (
	saga  = "019aaf00-0000-4000-8000-00000000000a"
	back  = "019aaf00-0000-4000-8000-00000000000b"
	order = "019aaf00-0000-7000-8000-000000000001"

	pay   = `{"payload":{"orderId":"` + order + `","token":"tok_ok","method":"card","amountCents":1998,"currency":"EUR"}}`
	about = `{"payload":{"orderId":"` + order + `"}}`
)

func (s service) step(saga, path, body string) (int, string) {
	s.t.Helper()
	return s.call(http.MethodPost, "/internal/sagas/"+saga+"/steps/"+path, body)
}

// member is one text member of a JSON object.
func member(text, name string) string {
	var all map[string]any
	_ = json.Unmarshal([]byte(text), &all)
	value, _ := all[name].(string)
	return value
}

func TestASaleAndItsReturn(t *testing.T) {
	s := newService(t)
	for _, call := range []struct{ saga, path, body, state string }{
		{saga, "authorise/do", pay, "authorised"},
		{saga, "authorise/do", pay, "authorised"},
		{saga, "capture/do", about, "captured"},
		{back, "refund/do", about, "refunded"},
		{saga, "capture/undo", "{}", "refunded"},
		{saga, "authorise/undo", "{}", "refunded"},
		{back, "refund/undo", "{}", "refunded"},
	} {
		status, text := s.step(call.saga, call.path, call.body)
		var answer struct{ Result *struct{ PaymentID string } }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 || (answer.Result == nil) != strings.HasSuffix(call.path, "undo") {
			t.Fatalf("%s: got %d %s", call.path, status, text)
		}
		status, list := s.call(http.MethodGet, "/internal/payments?orderId="+order, "")
		if status != 200 || !strings.Contains(list, `"state":"`+call.state+`"`) {
			t.Errorf("%s: got %d %s", call.path, status, list)
		}
		if answer.Result == nil {
			continue
		}
		status, one := s.call(http.MethodGet, "/internal/payments/"+answer.Result.PaymentID, "")
		if status != 200 || `{"items":[`+one+`]}` != list || member(one, "createdAt") != "2026-03-01T12:00:00Z" || member(one, "orderId") != order {
			t.Errorf("%s: got %d %s, and in the list %s", call.path, status, one, list)
		}
	}
}

func TestRefusalsAndOpenAnswersAreProblems(t *testing.T) {
	s := newService(t)
	with := func(old, replaced string) string { return strings.Replace(pay, old, replaced, 1) }
	for _, call := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"authorise/do", with("tok_ok", "tok_fail_1"), 503, "unavailable"},
		{"authorise/do", with("tok_ok", "tok_hang"), 504, "deadline_exceeded"},
		{"authorise/do", with("tok_ok", "tok_decline"), 409, "payment_declined"},
		{"authorise/do", with("tok_ok", "tok_decline"), 409, "payment_declined"},
		{"capture/do", about, 409, "payment_declined"},
		{"refund/do", about, 409, "not_returnable"},
		{"authorise/undo", "{}", 200, ""},
		{"authorise/do", pay, 409, "aborted"},
	} {
		if status, text := s.step(saga, call.path, call.body); status != call.status || member(text, "code") != call.code {
			t.Errorf("%s %s: got %d %s", call.path, call.body, status, text)
		}
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	s := newService(t)
	with := func(old, replaced string) string { return strings.Replace(pay, old, replaced, 1) }
	for i, body := range []string{
		with(order, "7"), with("tok_ok", "4242"), with("card", ""), with("1998", "-1"), with("EUR", "eur"),
	} {
		field := []string{"orderId", "token", "method", "amountCents", "currency"}[i]
		each := "019aaf00-0000-4000-8000-0000000001" + string(rune('a'+i)) + "0"
		if status, text := s.step(each, "authorise/do", body); status != 422 || !strings.Contains(text, `"field":"`+field+`"`) {
			t.Errorf("%s: got %d %s", body, status, text)
		}
	}
	for _, bad := range []struct {
		saga, path, body string
		status           int
	}{
		{"NO-SAGA", "authorise/do", pay, 422},
		{saga, "authorise/do", `{}`, 422},
		{saga, "authorise/do", `{"payload":null}`, 422},
		{saga, "authorise/do", ``, 400},
		{saga, "authorise/do", with(`"card"`, `"card","pin":"1234"`), 400},
		{saga, "authorise/do", with("1998", "19.98"), 400},
		{saga, "authorise/do", with("1998", "9223372036854775808"), 400},
		{saga, "capture/do", `{"payload":{"orderId":7}}`, 400},
		{saga, "capture/undo", `{"payload":{}}`, 400},
		{saga, "void/do", about, 404},
	} {
		if status, text := s.step(bad.saga, bad.path, bad.body); status != bad.status || member(text, "code") == "" {
			t.Errorf("%s %s %s: got %d %s", bad.saga, bad.path, bad.body, status, text)
		}
	}
	for path, want := range map[string]int{
		"/" + order: 404, "/7": 404, "": 422, "?orderId=7": 422, "?id=7": 400, "/" + order + "?x=1": 400, "?orderId=" + order: 200,
	} {
		if status, text := s.call(http.MethodGet, "/internal/payments"+path, ""); status != want {
			t.Errorf("%s: got %d %s", path, status, text)
		}
	}
}

// The token is in no answer and no log.
func TestTheTokenIsNeverShown(t *testing.T) {
	s := newService(t)
	var shown strings.Builder
	for _, token := range []string{"tok_hang", "tok_fail_9", "tok_stolen_one", "tok_late_capture"} {
		_, text := s.step(saga, "authorise/do", strings.Replace(pay, "tok_ok", token, 1))
		shown.WriteString(text)
	}
	for _, path := range []string{"capture/do", "authorise/undo"} {
		_, text := s.step(saga, path, about)
		shown.WriteString(text)
	}
	_, text := s.call(http.MethodGet, "/internal/payments?orderId="+order, "")
	if all := shown.String() + text + s.log.String(); strings.Contains(all, "tok_") || !strings.Contains(all, `"level":"WARN"`) {
		t.Errorf("shown: %s", all)
	}
}

// recorder does every step and keeps its payload.
type recorder struct {
	request payments.Request
	order   string
}

func (p *recorder) Authorise(_ context.Context, _ participant.Key, r payments.Request) (json.RawMessage, error) {
	p.request = r
	return nil, r.Check()
}

func (p *recorder) Capture(_ context.Context, _ participant.Key, order string) (json.RawMessage, error) {
	p.order = order
	return nil, nil
}

func (p *recorder) Refund(ctx context.Context, k participant.Key, order string) (json.RawMessage, error) {
	return p.Capture(ctx, k, order)
}
func (*recorder) UndoAuthorise(context.Context, participant.Key) error { return nil }
func (*recorder) UndoCapture(context.Context, participant.Key) error   { return nil }
func (*recorder) UndoRefund(context.Context, participant.Key) error    { return nil }

// Whatever the body, a step gets what the body says or the request is refused.
func FuzzSteps(f *testing.F) {
	paths := []string{"authorise/do", "authorise/undo", "capture/do", "capture/undo", "refund/do", "refund/undo"}
	for i, body := range []string{pay, "{}", about, `{"payload":{"orderId":"\ud800"}}`, about, `{"payload":{"amountCents":1e400}}`} {
		f.Add(uint8(i), saga, body)
	}
	f.Fuzz(func(t *testing.T, n uint8, saga, body string) {
		path, steps := paths[int(n)%len(paths)], &recorder{}
		app := web.New(web.Options{Service: "payments"})
		paymentshttp.Participate(app, steps)
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		request.URL.Path, request.RequestURI = "/internal/sagas/"+saga+"/steps/"+path, ""
		request.Header.Set("Content-Type", "application/json")
		response, err := app.Test(request, -1)
		if err != nil {
			return // no request could be made of it
		}
		defer func() { _ = response.Body.Close() }()
		switch response.StatusCode {
		case 400, 404, 422:
			return
		case 200:
		default:
			t.Fatalf("%s %q: %d", path, body, response.StatusCode)
		}
		var said struct {
			Payload struct {
				OrderID, Token, Method, Currency string
				AmountCents                      int64
			}
		}
		if err := json.Unmarshal([]byte(body), &said); err != nil {
			t.Fatalf("let through %q: %v", body, err)
		}
		p := said.Payload
		want := payments.Request{OrderID: p.OrderID, Token: p.Token, Method: p.Method, AmountCents: p.AmountCents, Currency: p.Currency}
		got, undo := steps.request, strings.HasSuffix(path, "undo")
		if path != "authorise/do" {
			got, want = payments.Request{OrderID: steps.order}, payments.Request{OrderID: p.OrderID}
		}
		if !undo && got != want {
			t.Fatalf("%s %q became %+v", path, body, got)
		}
	})
}
