// Package trace holds what happened between producers, readers and brokers as events, and each event as one line of text.
//
//	init client=a v=5 txn=billing timeout_ms=60000 expected=-1/-1 -> NONE producer=7/0
//	produce client=a v=12 txn=billing to=orders-0 producer=7/0 transactional=true seq=0 count=3 time_ms=1000 digest=9f3c acks=-1 -> NONE offset=0
//	end client=a v=5 txn=billing producer=7/0 commit=true -> ?
//	marker to=orders-0 producer=7/1 commit=true coordinator=0 protocol=2 -> NONE offset=3
//
// What is left of the arrow was asked for, what is right of it was answered; "?" means that nobody got the answer
// ([NoReply]): the request may have been carried out or not. [Parse] and Event.String are each other's inverse.
//
// The order of events is the order in which they took effect, as far as the recorder could see. An event without a reply
// stands where it was sent. A program that judges a trace (package validator) needs every request that changed a producer, a
// transaction or a group of offsets; reads may be left out.
//
// Everything here is a plain value: no client, no clock, no goroutine, no randomness. Names are Kafka's; error codes are
// a type ([Code]) with Kafka's names and numbers.
//
// Start reading at event.go; a kind of event says its text form once, for both directions, in its method line.
package trace
