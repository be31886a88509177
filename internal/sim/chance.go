package sim

// chance is where all that is random comes from. A decision depends on the seed, on what is decided, on whose request it is
// about and on that request's number, and on nothing else. So one decision can be changed and the others stay: a run with a
// fault less is nearly the same run, which shrinking needs. It is splitmix64 over these four.
type chance struct{ seed uint64 }

// decision is what is decided by chance; the first ones are faults.
type decision uint8

const (
	pickLatency decision = iota + decision(numFaults)
	pickReplyLatency
	pickDuration
	pickMarker
	pickPartition
	pickCount
	pickAbort
	pickPause
	pickLeader
	pickTwin
	pickFetchReply
)

func (c chance) draw(d decision, who ActorID, n uint64) uint64 {
	return scramble(scramble(c.seed^uint64(d)<<48^uint64(who)<<32) + n*0x9e3779b97f4a7c15)
}

// between returns a number from low to high, both included.
func (c chance) between(low, high int64, d decision, who ActorID, n uint64) int64 {
	return low + int64(c.draw(d, who, n)%uint64(high-low+1))
}

// scramble is the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// threshold turns a probability into the number below which a draw has to be.
func threshold(probability float64) uint64 {
	if probability >= 1 {
		return 1<<64 - 1
	}
	return uint64(probability * (1 << 63) * 2)
}
