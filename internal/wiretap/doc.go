// Package wiretap is a Kafka-aware fault injector that sits between a client and its connections.
//
// It is a dialer: every connection made through it reads the Kafka frames that pass, pairs each reply with its request, and applies
// rules such as "the answer to the next three EndTxn requests is lost". The same tap works on a real cluster and on kfake's in-memory
// network:
//
//	tap := wiretap.New()
//	client, err := kgo.NewClient(kgo.Dialer(tap.Dial))
//	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 3})
//	…
//	if lost.Hits() != 3 { … } // a fault that never happened proves nothing
//
// A client in another process is put behind a tap by a [Proxy], which listens in the place of the brokers:
//
//	proxy, err := wiretap.NewProxy(tap.Dial, cluster.Bootstrap()...)
//	cmd := exec.Command("eos-pipe", "run", "-b", strings.Join(proxy.Bootstrap(), ","), …)
//
// # The steps of a request
//
// Three actions run a function, for example one that kills the client: CallOnRequest before the request is forwarded, CallOnReply when
// the broker has applied it and the client does not know, CallAfterReply when the client has the answer. A request whose client was
// killed by CallOnRequest is forwarded all the same, as what is on its way. To kill a client before a request is sent at all, give a
// DropRequest the function.
//
// # What a rule sees
//
// A rule is matched when a request is complete, before any byte of it is forwarded. A rule about the reply is therefore bound to its
// request: a rule added later does not touch requests already under way. If a connection ends before a bound rule could act, the rule
// gets that match back, so Count is the number of faults that really happened.
//
// # Order
//
// A tap is a network, not a scheduler: on one connection nothing overtakes. A request that is held or delayed holds up the requests
// written after it on that connection, and the same is true of replies. Other connections go on.
//
// # Doubles
//
// A network that delivers a request twice does so over two connections: within one, TCP sees to it that every byte comes once. So the
// copy of a DoubleRequest or HoldDouble has the same bytes, correlation id and all, goes to the same broker over a new connection of its
// own, and only after the request itself was forwarded. Its answer is read and thrown away, since nobody waits for it; a test finds it by
// [Fault.Answers]. No rule acts on a copy. It is what a client makes that gives a connection up and sends the request again, whose first
// one arrives after all, with two differences that a broker does not look at: the correlation id is the same, and the first one was
// answered. The broker must take requests on a connection without SASL.
//
// # What a closed connection leaves behind
//
// A request that was written, but is still held, delayed, or frozen in the tap, outlives the client's Close, as bytes in a network do.
// When let go it still reaches the broker, whose answer is read and thrown away. This is how a delayed request of an older transaction
// (KAFKA-17754) is made. Cut and Tap.Close discard such requests, and copies that were not delivered yet.
//
// # Limits
//
// The tap reads plain Kafka frames: with TLS, give [Over] a dialer that returns the TLS connection. A frame longer than 1 GiB, or of
// negative length, makes that direction of the connection opaque: bytes pass unchanged and no rule applies to them.
package wiretap
