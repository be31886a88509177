// Package logtrace reads the log of a topic as a trace, and judges traces by package validator: it is what eos-pipe record and
// eos-pipe validate do. [Record] asks the brokers; [Judge] asks nobody, and takes any text.
//
// Start reading at record.go for what is asked, log.go for what becomes of it, and judge.go.
package logtrace
