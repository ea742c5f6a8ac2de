package bookshttp_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// steps is the path of a new saga's steps.
func steps() string { return "/internal/sagas/" + uuid.Must(uuid.NewV7()).String() + "/steps" }

func TestACheckoutAndAReturnMoveStock(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	left := func(want float64) {
		t.Helper()
		if got := s.do("GET", path+"/availability", ""); got.body["available"] != want {
			t.Errorf("got %s, want %v", got.text, want)
		}
	}
	const lines = `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":2,"unitPriceCents":899}]}}`
	saga := steps()
	for range 2 { // asked again, nothing is taken twice
		if a := s.want(s.do("POST", saga+"/reserve_stock/do", lines), 200, ""); a.text != `{"result":null}` {
			t.Errorf("got %s", a.text)
		}
	}
	left(1)
	s.want(s.do("POST", steps()+"/reserve_stock/do", lines), 409, "out_of_stock")
	for range 2 {
		s.want(s.do("POST", saga+"/reserve_stock/undo", `{}`), 200, "")
	}
	left(3)
	s.want(s.do("POST", saga+"/reserve_stock/do", lines), 409, "aborted")
	saga = steps()
	for range 2 {
		s.want(s.do("POST", saga+"/restock/do", `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":2}]}}`), 200, "")
	}
	left(5)
}

func TestARefusedCheckoutTellsWhatTheBuyerMustKnowEachTime(t *testing.T) {
	s := open(t)
	s.add(emma)
	const lines = `{"payload":{"orderId":"o","lines":[{"bookId":1,"quantity":%d,"unitPriceCents":%d}]}}`
	short, repriced, bad := steps(), steps(), steps()
	for range 2 {
		a := s.want(s.do("POST", short+"/reserve_stock/do", fmt.Sprintf(lines, 9, 899)), 409, "out_of_stock")
		if got := fmt.Sprint(a.body["books"]); got != "[map[available:3 bookId:1]]" {
			t.Errorf("got %s", got)
		}
		a = s.want(s.do("POST", repriced+"/reserve_stock/do", fmt.Sprintf(lines, 1, 1)), 409, "price_changed")
		if got := fmt.Sprint(a.body["books"]); got != "[map[bookId:1 unitPriceCents:899]]" {
			t.Errorf("got %s", got)
		}
		a = s.want(s.do("POST", bad+"/reserve_stock/do", fmt.Sprintf(lines, 0, 1)), 422, "invalid_field")
		if got := fmt.Sprint(a.fields()); got != "[lines[0].quantity out_of_range]" {
			t.Errorf("got %s", got)
		}
	}
}
