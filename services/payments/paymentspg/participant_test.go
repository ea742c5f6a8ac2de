package paymentspg_test

import (
	"testing"

	"bookstore/services/payments/paymentspg"
	"bookstore/services/txn/participant/participanttest"
)

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, paymentspg.Migrations, "step_markers")
}
