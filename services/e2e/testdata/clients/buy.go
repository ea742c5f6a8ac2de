// Command buy does what a customer's program would, by a client that was made from the API's document: it adds a book,
// buys it, and is refused when it orders more. Arguments: the shop's address and a token; what it says is one line.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"bookstore/vagrant/provision/oapi-codegen/shop"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := buy(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func buy(ctx context.Context, address, token string) error {
	c, err := shop.NewClientWithResponses(address, shop.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}))
	if err != nil {
		return err
	}
	quantity, key := int64(1), fmt.Sprintf("go-client-%d", time.Now().UnixNano())
	added, err := c.CreateBookWithResponse(ctx, nil, shop.NewBook{
		Title: "Bought by a Go client", Authors: []string{"A. Generator"}, PriceCents: 1250, Currency: "EUR", Quantity: &quantity,
	})
	if err != nil {
		return err
	}
	if added.JSON201 == nil {
		return fmt.Errorf("add a book: %s %s", added.Status(), added.Body)
	}
	order := shop.NewOrder{CustomerId: "go-client", Items: []shop.OrderItem{{BookId: added.JSON201.Id, Quantity: 1}}}
	placed, err := c.PlaceOrderWithResponse(ctx, &shop.PlaceOrderParams{IdempotencyKey: key}, order)
	if err != nil {
		return err
	}
	if placed.JSON201 == nil || placed.JSON201.TotalCents != 1250 || placed.JSON201.Status != "placed" {
		return fmt.Errorf("place an order: %s %s", placed.Status(), placed.Body)
	}
	none, err := c.PlaceOrderWithResponse(ctx, &shop.PlaceOrderParams{IdempotencyKey: key + "-2"}, order)
	if err != nil {
		return err
	}
	if p := none.ApplicationproblemJSON409; p == nil || p.Code != "out_of_stock" || p.Books == nil || (*p.Books)[0].BookId != added.JSON201.Id {
		return fmt.Errorf("buy what is not there: %s %s", none.Status(), none.Body)
	}
	read, err := c.GetOrderWithResponse(ctx, placed.JSON201.Id)
	if err != nil {
		return err
	}
	if read.JSON200 == nil || read.JSON200.Items[0].Title != "Bought by a Go client" {
		return fmt.Errorf("read the order: %s %s", read.Status(), read.Body)
	}
	fmt.Println("bought", read.JSON200.Id)
	return nil
}
