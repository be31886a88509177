package eostest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos/eostest"
)

// printed stands for the *testing.T of a test, and prints what makes it fail.
type printed struct {
	testing.TB
	atEnd func()
}

func (p *printed) Helper()             {}
func (p *printed) Logf(string, ...any) {}
func (p *printed) Cleanup(f func())    { p.atEnd = f }
func (p *printed) ArtifactDir() string { return "no such folder" } // nothing is kept

func (p *printed) Errorf(format string, args ...any) {
	finding, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	class, rest, _ := strings.Cut(finding, ": expected NONE ") // the producer id is another one each time
	_, rule, _ := strings.Cut(rest, "; ")
	fmt.Printf("%s\n  %s\n", class, rule)
}

// A test of a program that writes to Kafka gives its client the watcher's option. Here the broker is a fake that says that the second
// transaction is committed, and does nothing; it does not even give the producer a new epoch, by which the watcher notices, and
// fails the test.
func ExampleWatch() {
	t := &printed{} // in a test: its own t
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		panic(err)
	}
	defer broker.Close()

	watch := eostest.Watch(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), watch.Client(), kgo.TransactionalID("billing"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		panic(err)
	}
	write := func(value string) { // in a transaction
		_ = client.BeginTransaction()
		_ = client.ProduceSync(context.Background(), kgo.StringRecord(value), kgo.StringRecord("paid")).FirstErr()
		_ = client.EndTransaction(context.Background(), kgo.TryCommit)
	}
	write("order 1")
	broker.ControlKey(kmsg.EndTxn.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		end, resp := req.(*kmsg.EndTxnRequest), req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ProducerID, resp.ProducerEpoch = end.ProducerID, end.ProducerEpoch
		return resp, nil, true
	})
	write("order 2")
	client.Close()
	t.atEnd() // the test ends

	// Output:
	// eostest: transaction
	//   rule: EndTxn ends an open transaction, and in TV2 raises the epoch [TransactionCoordinator, KIP-98, KIP-890]
}
