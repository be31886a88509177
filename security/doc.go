// Package security says how a franz-go client proves to the brokers who it is, and how it knows them: TLS and SASL, in
// the words of Kafka's own settings.
//
//	sec := security.Config{
//		Protocol: security.SASLSSL,
//		TLS:      security.TLS{CAFile: "/etc/kafka/ca.pem"},
//		SASL: security.SASL{
//			Mechanism: security.ScramSHA512, Username: "billing", Password: security.MustSecret("env:KAFKA_PASSWORD"),
//		},
//	}
//	opts, err := sec.Options()
//	eos.Open(ctx, eos.Config{…, Tuning: eos.Tuning{Client: opts}})
//
// processor.Config.Security takes the Config itself.
//
// What holds:
//
//   - A secret is given as a reference, env:NAME or file:/path, or stands in a client.properties of Kafka's tools. It is
//     never printed: not by fmt, JSON or slog, nor in an error.
//   - Files are read again for every new connection. Certificates, authorities, passwords and tokens can be renewed while
//     a session runs; while a file is gone or half written, what it held before is used, and a warning says so.
//   - A password or token is not sent over a connection that others can read, unless SASL.AllowCleartext says so.
//   - A setting that would have no effect is a fault: who gives an authority, and forgets to ask for TLS, hears of it.
package security
