package security_test

import (
	"context"
	"log"
	"log/slog"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/security"
)

// A session that logs in with SCRAM over TLS. The password is read from its file for every connection.
func ExampleConfig_Options() {
	sec := security.Config{
		Protocol: security.SASLSSL,
		TLS:      security.TLS{CAFile: "/etc/kafka/ca.pem"},
		SASL: security.SASL{
			Mechanism: security.ScramSHA512, Username: "billing", Password: security.MustSecret("file:/run/secrets/kafka"),
		},
		Logger: slog.Default(),
	}
	opts, err := sec.Options()
	if err != nil {
		log.Fatal(err)
	}
	s, err := eos.Open(context.Background(), eos.Config{
		BootstrapServers: []string{"kafka:9093"}, Group: "billing", TransactionalID: "billing-a", Topics: []string{"orders"}, Tuning: eos.Tuning{Client: opts},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(context.Background())
}

// The client.properties that Kafka's own tools take.
func ExampleFromFile() {
	p, err := security.FromFile("client.properties")
	if err != nil {
		log.Fatal(err)
	}
	opts, err := p.Config.Options()
	if err != nil {
		log.Fatal(err)
	}
	_ = eos.Config{BootstrapServers: p.BootstrapServers, Tuning: eos.Tuning{Client: opts}}
}
