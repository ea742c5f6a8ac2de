// Package firstorder shows that a shop that was just brought up serves: it has books, and sells one.
package firstorder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/machine"
	"bookstore/services/platform/dial"
)

// Shop is where customers come in on a developer's machine, SecureShop where they do everywhere.
const (
	Shop       = "http://127.0.0.1:8080"
	SecureShop = "https://127.0.0.1:8443"
)

var client = &http.Client{Transport: &http.Transport{DialContext: dial.Dialer(5 * time.Second).DialContext}}

// customer buys the first book of every shop.
const customer = "first-order"

type list[T any] struct {
	Items []T `json:"items"`
}

type book struct {
	ID      int64 `json:"id"`
	InStock bool  `json:"inStock"`
}

type order struct {
	ID         string `json:"id"`
	TotalCents int64  `json:"totalCents"`
	Currency   string `json:"currency"`
	Items      []struct {
		Title string `json:"title"`
	} `json:"items"`
}

// Place waits for the shop to open, loads the repository's catalogue into one without books, and buys a book in one
// without a first order.
func Place(ctx context.Context, c *cluster.Cluster, out console.Console, root string) error {
	var books list[book]
	var door Door
	wait := console.Wait{For: "the opening of the shop", Limit: time.Minute, Hint: "see the logs in " + machine.Logs, Every: 200 * time.Millisecond}
	err := out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		var err error
		if door, err = FindDoor(ctx, c); err == nil {
			err = door.get(ctx, "/books?limit=100", &books)
		}
		if err != nil {
			return errClosed.Error(), nil //nolint:nilerr // that is what is waited for
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	if len(books.Items) == 0 {
		if err := load(ctx, c, out.Out, door.URL, root); err != nil {
			return err
		}
		if err := door.get(ctx, "/books?limit=100", &books); err != nil {
			return err
		}
	}
	var orders list[order]
	if err := door.get(ctx, "/orders?limit=1&customerId="+customer, &orders); err != nil {
		return err
	}
	if len(orders.Items) > 0 {
		out.Sayf("the first order is there: %s", orders.Items[0].ID)
		return nil
	}
	bought, err := door.buy(ctx, books.Items)
	if err == nil {
		out.Sayf("bought: %s, order %s, %d %s-cents", bought.Items[0].Title, bought.ID, bought.TotalCents, bought.Currency)
	}
	return err
}

// load has the importer of catalogues, which was built with the services, load the repository's own.
func load(ctx context.Context, c *cluster.Cluster, out io.Writer, base, root string) error {
	token, err := c.Item(ctx, "gateway", "import_token")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(machine.Cache, "services/catalogue"), "import", "-base", base, filepath.Join(root, "services/catalogue/books.csv"))
	cmd.Env = append(os.Environ(), "BOOKSTORE_TOKEN="+token, "SSL_CERT_FILE="+machine.CA)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("load the catalogue: %w", err)
	}
	return nil
}

// buy buys a book that is in stock. The key makes it one order, however often it is asked.
func (d Door) buy(ctx context.Context, books []book) (*order, error) {
	var chosen *book
	for i := range books {
		if books[i].InStock {
			chosen = &books[i]
			break
		}
	}
	if chosen == nil {
		return nil, fmt.Errorf("none of the first %d books is in stock", len(books))
	}
	body, err := json.Marshal(map[string]any{"customerId": customer, "items": []map[string]any{{"bookId": chosen.ID, "quantity": 1}}})
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s-%d", customer, time.Now().Unix())
	for try := 0; ; try++ {
		bought := &order{}
		if err = d.Call(ctx, http.MethodPost, "/orders", body, key, bought); err == nil {
			return bought, nil
		}
		if try == 5 || ctx.Err() != nil {
			return nil, fmt.Errorf("no book could be bought: %w", err)
		}
		time.Sleep(time.Second << try)
	}
}

func (d Door) get(ctx context.Context, path string, into any) error {
	return d.Call(ctx, http.MethodGet, path, nil, "", into)
}

// Call sends a body, none if it is nil, under an Idempotency-Key, none if it is "", and reads the answer's JSON into into.
// An answer of 400 or above is an error.
func (d Door) Call(ctx context.Context, method, path string, body []byte, key string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, d.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if key != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := d.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %d %s", method, path, response.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}
