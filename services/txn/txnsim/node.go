package txnsim

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// Node is a coordinator in one of its lives, with the real engines.
type Node struct {
	*Process

	Transactions *twophase.Engine
	Sagas        *saga.Engine // nil in a scenario without sagas
	Service      any          // what Scenario.Serve returned
}

// Metrics that count for every node of every run: nobody reads them.
var (
	transactionMetrics = twophase.NewMetrics(prometheus.NewRegistry())
	sagaMetrics        = saga.NewMetrics(prometheus.NewRegistry())
)

// boot starts the next life of a coordinator; the one before is dead.
func (w *World) boot(name string, life int) *Node {
	p := w.newProcess(fmt.Sprint(name, "/", life))
	owner := name // an instance that is started again in its place keeps its name
	if w.Chance("renamed "+name, .5) {
		owner = p.Name
	}
	n := &Node{Process: p, Transactions: w.newTransactions(p, owner)}
	if len(w.scenario.Sagas) > 0 {
		n.Sagas = w.newSagas(p)
	}
	if w.scenario.Serve != nil {
		n.Service = w.scenario.Serve(n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	return n
}

func (w *World) newTransactions(p *Process, owner string) *twophase.Engine {
	participants := map[string]twophase.Participant{}
	for _, d := range w.scenario.Databases {
		participants[d.Name] = branches{p, d}
	}
	e, err := twophase.New(twophase.Dependencies{
		Store: transactionStore{w.leader.transactions, p, w.leader}, Participants: participants,
		Metrics: transactionMetrics, Log: w.log(p.Name),
	}, twophase.DefaultSettings(owner))
	if err == nil {
		err = e.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return e
}

func (w *World) newSagas(p *Process) *saga.Engine {
	participants := map[string]saga.Participant{}
	for _, d := range w.scenario.Databases {
		participants[d.Name] = steps{p, d}
	}
	settings := saga.DefaultSettings()
	settings.ClaimEvery = 500 * time.Millisecond // most claims find nothing, and cost the time of real processors
	settings.CountEvery = 24 * time.Hour         // nobody reads it
	e, err := saga.NewEngine(saga.Options{
		Store: sagaStore{p: p}, Definitions: w.scenario.Sagas, Participants: participants,
		NewID: w.ids(p, "saga"), Metrics: sagaMetrics, Log: w.log(p.Name), Settings: settings,
	})
	if err == nil {
		err = e.Start(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return e
}

// IDs makes ids that no two calls on any coordinator return, for a coordinator's service.
func (n *Node) IDs(of string) func() (string, error) { return n.w.ids(n.Process, of) }

func (w *World) ids(p *Process, of string) func() (string, error) {
	made := 0
	return func() (string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		made++
		return fmt.Sprint(of, "-", p.Name, "-", made), nil
	}
}

// stop ends the engines, which have until ctx ends to finish what they have in hand.
func (n *Node) stop(ctx context.Context) {
	_ = n.Transactions.Stop(ctx)
	if n.Sagas != nil {
		_ = n.Sagas.Stop(ctx)
	}
}

// anyNode draws one that is alive. why names the draw.
func (w *World) anyNode(why string) *Node {
	for {
		w.mu.Lock()
		var alive []*Node
		for _, n := range w.nodes {
			if n.alive() {
				alive = append(alive, n)
			}
		}
		w.mu.Unlock()
		if len(alive) > 0 {
			return alive[w.Draw("which "+why).IntN(len(alive))]
		}
		if !w.Pass(50 * time.Millisecond) {
			return w.nodes[0]
		}
	}
}
