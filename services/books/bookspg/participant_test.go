package bookspg_test

import (
	"testing"

	"bookstore/services/books/bookspg"
	"bookstore/services/txn/participant/participanttest"
)

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, bookspg.Migrations, "branch_markers", "step_markers")
}
