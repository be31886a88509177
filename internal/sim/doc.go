// Package sim simulates an application between Kafka topics, with everything that can go wrong around it, in one goroutine, on a virtual
// clock, from one seed. The same seed gives the same run, to the byte, on every machine.
//
//	r, err := sim.Run(sim.Config{Seed: 7, Faults: sim.DefaultFaults()})
//	for _, f := range r.Findings {
//		fmt.Println(f)
//	}
//
// Three writers fill an input topic; one of them is transactional and aborts on purpose. Two instances of an application read it,
// make one output of each input, and commit how far they are: exactly once, as package eos does it, or as weaker modes do. Readers
// read the output. Three brokers answer by internal/broker/model; leaders and coordinators move between them. The network loses, delays,
// doubles and reorders; instances die and stand still; brokers crash.
//
// After a number of steps faults and writers stop, what is left is worked off, and a [Result] says what is lost, doubled, torn,
// reordered, stuck, or read though it was aborted. It is judged by the markers in the logs, not by what brokers say.
//
// Every decision is drawn by its own key, so a fault can be left out and the rest stays nearly as it was: [Shrink] uses that.
//
// # Where things are
//
//   - config.go: what can be chosen, and the measures; faults.go: the faults, and their names; chance.go: where chance comes from
//   - run.go, queue.go: the clock and the events; network.go: messages; client.go, pipe.go: what all clients do
//   - cluster.go, answer.go, requests.go, group.go: the brokers
//   - writer.go, reader.go; instance.go: the application; plain.go: without transactions; exactlyonce.go, markers.go: with
//   - history.go, result.go: what happened, and what came of it; shrink.go, explain.go, html.go, page.go: to understand it
//
// What is simpler than in reality is said in each file, and in docs/simulation.md.
//
// Start reading at run.go, then client.go and instance.go.
package sim
