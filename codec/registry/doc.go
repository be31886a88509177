// Package registry is the codecs' way to a schema registry: Confluent's, or another with its REST interface (Redpanda,
// Karapace, Apicurio's ccompat). The codecs themselves are its neighbours avro, protobuf and jsonschema; a program
// carries only those it imports. One [Registry] serves all codecs of a program:
//
//	reg, err := registry.New(registry.Config{URLs: []string{"http://localhost:8081"}})
//	orders, err := avro.New[Order](reg, avro.Config{})                       // to read
//	invoices, err := avro.New[Invoice](reg, avro.Config{Topic: "invoices"})  // to write
//
//	processor.From(orders, "orders")
//	processor.To(invoices, "invoices")
//
// # Wire format
//
// A value begins with a zero byte (the magic byte) and four bytes of schema id, most significant first; the id says with
// which schema the rest was written. See
// https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
//
// # What fails, and what it means
//
// An error that wraps [processor.ErrTransient] says that the registry gave no answer: it is down, slow, overloaded, or
// refuses the credentials. The record may be in order. Every other error is about the record or its schema: no magic byte,
// an id that the registry does not know, a schema that does not fit.
//
// Schemas never change under their id, so each is read once and kept as long as the Registry. A failure is not kept.
package registry
