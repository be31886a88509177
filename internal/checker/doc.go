// Package checker judges exactly-once copies: it is told every record that should have been processed, and every
// record that came out with where it came from, and reports what is lost, doubled, torn, invented or out of order.
//
// It is pure: no client, no clock, no goroutine; it imports offsets and the standard library. What it is told is
// its whole truth, so the caller must feed it
//
//   - as input, every record that a read_committed reader gets below the group's committed offset, and no other;
//   - as output, every record that a read_committed reader gets, each output partition in the order of its offsets.
//
// Inputs and outputs may come in any order relative to each other, but all calls from one goroutine. When the inputs
// come first, examples of phantoms name the output record too.
//
// There are two ways to say where an output came from, and both may be used in one run: provenance (the input's
// partition and offset; [Checker.Input] and [Checker.Output]) sees everything and needs some bits of memory a
// record; identity (any id that input and output share; [Checker.InputID] and [Checker.OutputID]) works where records
// carry no provenance, sees no order, and needs 60 to 100 bytes a record.
//
// Of both, timestamps may be told as well ([Checker.InputTime], [Checker.InputIDTime] and their counterparts): with provenance that needs 4 bytes a
// record more.
package checker
