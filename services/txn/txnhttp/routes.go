package txnhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/twophase"
)

// Transaction is an attempt as operators see it. Callers and keys are not
// shown: they are what lets someone repeat another's request.
type Transaction struct {
	GID        string     `json:"gid"`
	Kind       string     `json:"kind"`
	State      string     `json:"state"`
	Decision   string     `json:"decision,omitempty"` // commit or abort, once it is made
	Branches   []Branch   `json:"branches"`
	Attempt    int        `json:"attempt"`
	Owner      string     `json:"owner"`
	Deadline   time.Time  `json:"deadline"`
	CreatedAt  time.Time  `json:"createdAt"`
	DecidedAt  *time.Time `json:"decidedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// Branch is one branch of it.
type Branch struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	LastError string `json:"lastError,omitempty"`
}

// api holds the handlers.
type api[T any] struct {
	engine *twophase.Engine
	show   func(Transaction, twophase.Transaction) T
}

// Routes adds to app the list of transactions, for operators, and the query of
// participants in doubt. show makes the answer of an attempt: it adds what is in the
// use cases' payload. Routes checks no rights: app must.
func Routes[T any](app fiber.Router, engine *twophase.Engine, show func(Transaction, twophase.Transaction) T) {
	a := api[T]{engine, show}
	app.Get("/transactions", web.AcceptJSON, a.list)
	app.Get("/transactions/:gid", web.AcceptJSON, a.get)
	app.Post("/internal/transactions/:gid/ask", web.AcceptJSON, a.decision)
}

func (a api[T]) list(c *fiber.Ctx) error {
	if err := web.AllowQuery(c, "state", "limit", "cursor"); err != nil {
		return err
	}
	limit, cursor, err := web.Page(c)
	if err != nil {
		return err
	}
	// One more than requested tells whether there is a next page.
	filter := twophase.Filter{State: twophase.State(c.Query("state")), Limit: limit + 1}
	if cursor != "" {
		filter.After = &twophase.Position{}
		if err := web.DecodeCursor(cursor, filter.After); err != nil {
			return err
		}
	}
	found, err := a.engine.Transactions(web.Context(c), filter)
	if err != nil {
		return err
	}
	page := web.List[T]{Items: []T{}}
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		page.NextCursor = web.EncodeCursor(twophase.Position{CreatedAt: last.CreatedAt, GID: last.GID})
	}
	for _, t := range found {
		page.Items = append(page.Items, a.show(wire(t), t))
	}
	return web.JSON(c, http.StatusOK, page)
}

func (a api[T]) get(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	gid := strings.ToLower(c.Params("gid"))
	if !twophase.IsGID(gid) {
		return fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	t, err := a.engine.Transaction(web.Context(c), gid)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, a.show(wire(t), t))
}

func wire(t twophase.Transaction) Transaction {
	out := Transaction{
		GID: t.GID, Kind: string(t.Kind), State: string(t.State),
		Attempt: t.Attempt, Owner: t.Owner, Deadline: t.Deadline, CreatedAt: t.CreatedAt,
		DecidedAt: unlessZero(t.DecidedAt), FinishedAt: unlessZero(t.FinishedAt),
	}
	if d := t.Decision(); d != twophase.VerdictPending {
		out.Decision = string(d)
	}
	for _, name := range t.Branches {
		out.Branches = append(out.Branches, Branch{
			Name: name, State: t.BranchState(name), LastError: t.Notes[name].LastError,
		})
	}
	return out
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// decisionQuery names the branch in doubt.
type decisionQuery struct {
	Branch string `json:"branch"`
}

// decisionAnswer is the decision, and what a message about the branch needs.
type decisionAnswer struct {
	Decision string    `json:"decision"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

func (a api[T]) decision(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	var request decisionQuery
	if err := web.DecodeJSON(c, &request); err != nil {
		return err
	}
	answer, err := a.engine.QueryDecision(web.Context(c), c.Params("gid"), request.Branch)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, decisionAnswer{string(answer.Verdict), answer.Branches, answer.Deadline})
}
