package orderspg_test

import (
	"testing"

	"bookstore/services/orders/orderspg"
	"bookstore/services/txn/participant/participanttest"
)

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, orderspg.Migrations, "branch_markers", "step_markers")
}
