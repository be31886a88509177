package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// payments is the input topic.
const payments = "payments"

// accounts is how many there are. The key of a payment is the account it is from, so that each account's payments keep
// their order.
const accounts = 60

// payment is an input record's value.
type payment struct {
	ID    string `json:"id"`
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int64  `json:"cents"`
}

// booking is an output record's value.
type booking struct {
	ID     string `json:"id"` // of the payment
	Debit  string `json:"debit"`
	Credit string `json:"credit"`
	Cents  int64  `json:"cents"`
}

// book is what both pipes do.
func book(p payment) (booking, error) {
	if p.ID == "" || p.From == "" || p.To == "" {
		return booking{}, errors.New("a payment needs an id and two accounts")
	}
	return booking{ID: p.ID, Debit: p.From, Credit: p.To, Cents: p.Cents}, nil
}

// pay makes payments number first to first+n-1. Ids sort as they were made.
func (b *broker) pay(ctx context.Context, first, n int) error {
	records := make([]*kgo.Record, 0, n)
	for i := first; i < first+n; i++ {
		p := payment{
			ID: paymentID(i), From: account(i), To: account(i*7 + 1), Cents: int64(i%9_900 + 100),
		}
		value, err := json.Marshal(p)
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Topic: payments, Key: []byte(p.From), Value: value})
	}
	return b.payer.ProduceSync(ctx, records...).FirstErr()
}

func paymentID(i int) string { return fmt.Sprintf("payment-%09d", i) }

func account(i int) string { return fmt.Sprintf("account-%02d", i%accounts) }
