package fault_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"bookstore/services/kit/fault"
)

// A constant without a row would be taken for Internal everywhere.
func TestEveryKindHasARow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if ident, ok := spec.Type.(*ast.Ident); !ok || ident.Name != "Kind" {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0])
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		declared++
		if !slices.Contains(fault.Kinds(), fault.Kind(text)) {
			t.Errorf("%s has no row in the table", spec.Names[0])
		}
		return true
	})
	if declared != len(fault.Kinds()) {
		t.Errorf("%d kinds are declared and %d have rows", declared, len(fault.Kinds()))
	}
}

// What decides and what may be asked again, written down a second time: a
// slip in the table binds accidents to keys, or repeats refusals for ever.
func TestWhatEachKindMeansToTheCaller(t *testing.T) {
	decides := []fault.Kind{
		fault.BookNotFound, fault.OrderNotFound, fault.OutOfStock, fault.PriceChanged, fault.PriceNotMet,
		fault.AlreadyCaptured, fault.NotCancellable, fault.NotReturnable, fault.PaymentDeclined, fault.Aborted,
		fault.BookGone, fault.VersionMismatch, fault.InvalidField, fault.MixedCurrencies, fault.BookNotFoundInOrder,
	}
	anew := []fault.Kind{fault.PriceChanged, fault.Contended, fault.Aborted}
	for _, kind := range fault.Kinds() {
		err := fault.Wrap("call", fault.New(kind, ""))
		if got, want := fault.Decides(err), slices.Contains(decides, kind); got != want {
			t.Errorf("%s decides: %t", kind, got)
		}
		if got, want := kind.Retry() == fault.Anew, slices.Contains(anew, kind); got != want {
			t.Errorf("%s is tried anew: %t", kind, got)
		}
		switch {
		case kind.Retry() < fault.Never || kind.Retry() > fault.Same:
			t.Errorf("%s does not say how it is retried", kind)
		case fault.Unknown(err) && (fault.Decides(err) || kind.Retry() != fault.Same):
			t.Errorf("%s leaves its outcome open: it decides nothing, and the same call settles it", kind)
		case fault.Decides(err) && kind.Retry() == fault.Same:
			t.Errorf("%s decides, and the same call may come to something else", kind)
		}
	}
	if fault.Decides(nil) || fault.Decides(errors.New("broken pipe")) {
		t.Error("neither success nor an accident is a decided no")
	}
}
