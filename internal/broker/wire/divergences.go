package wire

// Divergence is something that Kafka was seen to do against its own rules.
type Divergence struct {
	What    string
	Why     string
	Avoided string // how scripts and histories keep out of its way
}

// String gives all of it in one line.
func (d Divergence) String() string { return d.What + " " + d.Why + " " + d.Avoided }

// KnownDivergences are those of Kafka 4.3.1 and 4.4.0, found by random histories. The model keeps the rules; nothing is compared less because
// of them. Where the broker always does something odd, such as UNKNOWN_SERVER_ERROR for an epoch that it cannot raise, the model does the same.
func KnownDivergences() []Divergence {
	return []Divergence{{
		What: "A Produce or TxnOffsetCommit for a partition that is not in the transaction is now and then answered with the error of another " +
			"version: v11 (or TxnOffsetCommit v4) with INVALID_TXN_STATE, v10 (v3) with TRANSACTION_ABORTABLE.",
		Why: "AddPartitionsToTxnManager.TransactionDataAndCallbacks gathers the verifications of all producers for one coordinator, and keeps what the client " +
			"understands once for the whole gathering, not for each: that of the request that came first.",
		Avoided: "So Config.Verifying: on one cluster, one request that is verified at a time.",
	}}
}
