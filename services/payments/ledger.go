package payments

// Account is an account of the ledger.
type Account string

// The accounts. A completed sale moves money from Customer to Merchant.
const (
	Customer Account = "customer"
	Held     Account = "held" // reserved at the customer's bank, nobody's yet
	Merchant Account = "merchant"
)

// Entry is one line of the ledger, in minor units of the payment's currency.
type Entry struct {
	Account Account
	Cents   int64
}

// moves maps each operation to the account that it takes money from and the one that it gives it to.
var moves = map[Operation]struct{ from, to Account }{
	Authorise: {Customer, Held},
	Capture:   {Held, Merchant},
	Void:      {Held, Customer},
	Refund:    {Merchant, Customer},
}

// Entries are the lines that op adds to the ledger: two that sum to zero, and
// none for a payment of nothing.
func Entries(op Operation, cents int64) []Entry {
	if cents == 0 {
		return nil
	}
	m := moves[op]
	return []Entry{{m.from, -cents}, {m.to, cents}}
}
