package checkout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"bookstore/services/checkout"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnsim"
)

// The simulation of txn/txnsim with the shop's transactions and sagas: customers order,
// cancel, check out and return. SIM_SEED=n plays one run again and logs what happened.

func TestOrdersSurviveAnyInterleaving(t *testing.T) {
	txnsim.Play(t, simulatedShop)
}

func TestTheSimulationNoticesWhatIsBroken(t *testing.T) {
	txnsim.NoticeDefects(t, simulatedShop, txnsim.NoTombstone, txnsim.NoMarker, txnsim.LostIsDone, txnsim.UnknownIsYes,
		txnsim.UnknownIsDone, txnsim.DecidedByReading, txnsim.NoStepTombstone, txnsim.StepAgain)
}

// simShop is the shop of one run.
type simShop struct {
	w        *txnsim.World
	books    *simBooks
	orders   *simOrders
	payments *simPayments
}

func simulatedShop(w *txnsim.World) txnsim.Scenario {
	s := &simShop{w, newSimBooks(w), newSimOrders(w), newSimPayments(w)}
	return txnsim.Scenario{
		Databases: []*txnsim.Database{s.books.Database, s.orders.Database, s.payments.Database},
		Sagas:     checkout.Sagas(),
		Serve:     s.serve,
		Clients:   s.customers,
		Faults:    []txnsim.Fault{{Name: "prices", Least: 10 * time.Millisecond, Most: 500 * time.Millisecond, Do: s.books.raise}},
		Effect:    effectOf,
		Check:     s.check,
	}
}

// serve makes the service of a coordinator.
func (s *simShop) serve(n *txnsim.Node) any {
	service, err := checkout.New(checkout.Dependencies{
		Transactions: n.Transactions, Sagas: n.Sagas, Quotes: simReads{s, n}, Orders: simReads{s, n},
		Clock: time.Now, NewID: n.IDs("order"),
	}, checkout.Settings{CheckoutTime: 20 * time.Second, ApprovalTime: 5 * time.Second, ReturnTime: 20 * time.Second})
	if err != nil {
		panic(err)
	}
	return service
}

// effectOf names what may be done only once.
func effectOf(tx twophase.Transaction) string {
	if tx.Kind == checkout.KindCancel {
		return "cancel " + checkout.OrderOf(tx)
	}
	return txnsim.EffectOf(tx.Caller, tx.Key)
}

func (s *simShop) customers() {
	var shopping sync.WaitGroup
	for i := range 3 + s.w.Draw("orders").IntN(6) {
		shopping.Go(func() { s.buyer(fmt.Sprint("customer", i)) })
	}
	for i := range s.w.Draw("checkouts").IntN(4) {
		shopping.Go(func() { s.payer(fmt.Sprint("payer", i)) })
	}
	shopping.Wait()
}

// request draws what a customer wants.
func (s *simShop) request(name string) checkout.OrderRequest {
	r := checkout.OrderRequest{CustomerID: name}
	for id := range int64(simTitles) {
		if s.w.Chance(name+" wants", .5) || (id == simTitles-1 && len(r.Items) == 0) {
			r.Items = append(r.Items, checkout.RequestItem{BookID: id + 1, Quantity: 1 + s.w.Draw(name+" takes").Int64N(2)})
		}
	}
	return r
}

// twice sends a client's request, and perhaps the same again meanwhile.
func (s *simShop) twice(client func(name string) *txnsim.Client, name string) {
	var asking sync.WaitGroup
	asking.Go(func() { s.w.Ask(client(name)) })
	if s.w.Chance(name+" is in a hurry", .4) {
		s.w.Pass(s.w.Between(name+" hurries", 0, 2*time.Second))
		asking.Go(func() { s.w.Ask(client(name + "'s twin")) })
	}
	asking.Wait()
}

// buyer orders, and may cancel.
func (s *simShop) buyer(name string) {
	s.w.Pass(s.w.Between(name+" comes", 0, txnsim.ChaosTime*3/4))
	request := s.request(name)
	key := "key-" + name
	var cancelling sync.WaitGroup
	s.twice(func(client string) *txnsim.Client {
		return &txnsim.Client{
			Name: client, Key: key, Effect: txnsim.EffectOf("customer:"+name, key),
			Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
				result, err := n.Service.(*checkout.Service).PlaceOrder(ctx, checkout.PlaceOrder{Key: key, Request: request})
				return result.Body, err
			},
			Succeeded: func(body []byte) {
				o := s.visible(client, body)
				if client == name {
					for i := range s.w.Draw(name + " cancels").IntN(3) {
						cancelling.Go(func() { s.w.Ask(s.cancel(fmt.Sprint(name, " cancelling ", i), name, o.ID)) })
					}
				}
			},
			Check: func(a txnsim.Answer, _ string) {
				if a.Kind == "" && !s.orders.has(s.order(client, a.Body).ID) {
					s.w.Breachf("%s was told %s, which was not placed", client, a.Body)
				}
			},
		}
	}, name)
	cancelling.Wait()
}

// cancel is a client that cancels an order, with a key or without. It is never refused.
func (s *simShop) cancel(client, customer, id string) *txnsim.Client {
	key := ""
	if s.w.Chance(client, .5) {
		key = fmt.Sprint("cancel-", customer, "-", s.w.Draw(client).IntN(2))
	}
	return &txnsim.Client{
		Name: client, Key: key, Effect: "cancel " + id,
		Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
			result, err := n.Service.(*checkout.Service).CancelOrder(ctx, checkout.CancelOrder{Key: key, OrderID: id})
			return result.Body, err
		},
		Succeeded: func(body []byte) {
			if o := s.visible(client, body); o.Status != checkout.StatusCancelled {
				s.w.Breachf("%s was answered %s", client, body)
			}
		},
		Check: func(a txnsim.Answer, _ string) {
			if a.Kind != "" {
				s.w.Breachf("%s was refused: %s", client, a.Kind)
			}
		},
	}
}

// payer checks out, may cancel or approve that, and may return what it bought.
func (s *simShop) payer(name string) {
	s.w.Pass(s.w.Between(name+" comes", 0, txnsim.ChaosTime*3/4))
	request := s.request(name)
	key := "key-" + name
	r := checkout.Request{
		CustomerID: name, Items: request.Items, Payment: checkout.Payment{Method: "card", Token: "tok_ok"},
		RequiresApproval: s.w.Chance(name+" needs an approval", .3),
	}
	var id string // of the saga
	s.twice(func(client string) *txnsim.Client {
		return s.saga(client, name, key, func(ctx context.Context, service *checkout.Service) (checkout.Result, error) {
			return service.BeginCheckout(ctx, checkout.BeginCheckout{Key: key, Request: r})
		}, func(v checkout.SagaView) {
			if client == name {
				id = v.ID
				s.intervene(name, id)
			}
		})
	}, name)
	if id == "" {
		return
	}
	ended, _ := s.w.Follow(checkout.Checkout, id)
	v, err := checkout.View(ended)
	if err != nil {
		s.w.Breachf("checkout %s cannot be shown: %v", id, err)
	}
	if v.OrderID != "" {
		s.takeBack(name, v.OrderID)
	}
}

// saga is a client that begins one. A saga that it is told of is there at the end.
func (s *simShop) saga(client, customer, key string, begin func(context.Context, *checkout.Service) (checkout.Result, error), begun func(checkout.SagaView)) *txnsim.Client {
	view := func(body []byte) (v checkout.SagaView) {
		if err := json.Unmarshal(body, &v); err != nil {
			s.w.Breachf("%s was answered %s", client, body)
		}
		return v
	}
	return &txnsim.Client{
		Name: client, Key: key, Effect: txnsim.EffectOf("customer:"+customer, key),
		Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
			result, err := begin(ctx, n.Service.(*checkout.Service))
			return result.Body, err
		},
		Succeeded: func(body []byte) { begun(view(body)) },
		Check: func(a txnsim.Answer, id string) {
			if a.Kind == "" && view([]byte(a.Body)).ID != id {
				s.w.Breachf("%s was told %s, and saga %s was begun", client, a.Body, id)
			}
		},
	}
}

// intervene approves a checkout that waits for it, cancels it, or does neither.
func (s *simShop) intervene(name, id string) {
	s.w.Pass(s.w.Between(name+" thinks", 0, 2*time.Second))
	ask := func(what string, act func(context.Context, *checkout.Service) (saga.Saga, error), check func(txnsim.Answer, string)) {
		s.w.Ask(&txnsim.Client{
			Name: name + " " + what,
			Call: func(ctx context.Context, n *txnsim.Node) ([]byte, error) {
				_, err := act(ctx, n.Service.(*checkout.Service))
				return nil, err
			},
			Check: check,
		})
	}
	switch what := s.w.Draw(name + " intervenes").IntN(3); what {
	case 0:
		ask("approving", func(ctx context.Context, service *checkout.Service) (saga.Saga, error) {
			return service.Sagas.Approve(ctx, checkout.Checkout, id)
		}, nil)
	case 1:
		ask("cancelling", func(ctx context.Context, service *checkout.Service) (saga.Saga, error) {
			return service.CancelSaga(ctx, checkout.Checkout, id)
		}, func(a txnsim.Answer, _ string) {
			if one, _ := s.w.Saga(checkout.Checkout, id); a.Kind == "" && one.State == saga.Completed {
				s.w.Breachf("%s was told that checkout %s is cancelled, and it is completed", name, id)
			}
		})
	}
}

// takeBack returns what was bought, perhaps twice: the second return is refused, by its
// request or by its first step.
func (s *simShop) takeBack(name, orderID string) {
	var returning sync.WaitGroup
	for i := range s.w.Draw(name + " returns").IntN(3) {
		key := fmt.Sprint("return-", name, "-", i)
		client := s.saga(fmt.Sprint(name, " returning ", i), name, key, func(ctx context.Context, service *checkout.Service) (checkout.Result, error) {
			return service.BeginReturn(ctx, checkout.BeginReturn{Key: key, OrderID: orderID})
		}, func(v checkout.SagaView) { s.w.Follow(checkout.Return, v.ID) })
		returning.Go(func() { s.w.Ask(client) })
	}
	returning.Wait()
}
