package coordinatorhttp

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/coordinator"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// transaction is a transaction as the contract shows it. Callers and keys are
// not shown: they are what lets someone repeat another's request.
type transaction struct {
	GID        string     `json:"gid"`
	Kind       string     `json:"kind"`
	State      string     `json:"state"`
	Decision   string     `json:"decision,omitempty"` // commit or abort, once it is made
	Branches   []branch   `json:"branches"`
	OrderID    string     `json:"orderId,omitempty"`
	Attempt    int        `json:"attempt"`
	Owner      string     `json:"owner"`
	Deadline   time.Time  `json:"deadline"`
	CreatedAt  time.Time  `json:"createdAt"`
	DecidedAt  *time.Time `json:"decidedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

type branch struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	LastError string `json:"lastError,omitempty"`
}

func (a api) listTransactions(c *fiber.Ctx) error {
	if err := web.AllowQuery(c, "state", "limit", "cursor"); err != nil {
		return err
	}
	limit, cursor, err := web.Page(c)
	if err != nil {
		return err
	}
	// One more than asked for tells whether there is a next page.
	filter := coordinator.Filter{State: coordinator.State(c.Query("state")), Limit: limit + 1}
	if cursor != "" {
		filter.After = &coordinator.Position{}
		if err := web.DecodeCursor(cursor, filter.After); err != nil {
			return err
		}
	}
	found, err := a.service.Transactions(web.Context(c), filter)
	if err != nil {
		return err
	}
	page := web.List[transaction]{Items: []transaction{}}
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		page.NextCursor = web.EncodeCursor(coordinator.Position{CreatedAt: last.CreatedAt, GID: last.GID})
	}
	for _, t := range found {
		page.Items = append(page.Items, wire(t))
	}
	return web.JSON(c, fiber.StatusOK, page)
}

func (a api) getTransaction(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	gid := strings.ToLower(c.Params("gid"))
	if !coordinator.IsGID(gid) {
		return fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	t, err := a.service.Transaction(web.Context(c), gid)
	if err != nil {
		return err
	}
	return web.JSON(c, fiber.StatusOK, wire(t))
}

func wire(t coordinator.Transaction) transaction {
	out := transaction{
		GID: t.GID, Kind: string(t.Kind), State: string(t.State), OrderID: t.Payload.OrderID,
		Attempt: t.Attempt, Owner: t.Owner, Deadline: t.Deadline, CreatedAt: t.CreatedAt,
		DecidedAt: unlessZero(t.DecidedAt), FinishedAt: unlessZero(t.FinishedAt),
	}
	if d := t.Decision(); d != coordinator.VerdictPending {
		out.Decision = string(d)
	}
	for _, name := range t.Branches {
		out.Branches = append(out.Branches, branch{
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
