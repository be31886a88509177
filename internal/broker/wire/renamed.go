package wire

// renamedIDs stands between the producer ids that a broker hands out and those that a script sees. It is empty, and changes
// nothing, unless ids are noted.
type renamedIDs struct {
	toScript map[int64]int64
	toBroker map[int64]int64
}

func newRenamedIDs() renamedIDs {
	return renamedIDs{toScript: map[int64]int64{}, toBroker: map[int64]int64{}}
}

// renamedStep leaves room for the ids that scripts make up by adding to a real one.
const renamedStep = 1000

// note gives a number to an id that the broker has handed out.
func (r *renamedIDs) note(id int64) {
	if _, ok := r.toScript[id]; !ok && id >= 0 {
		n := int64(len(r.toScript)) * renamedStep
		r.toScript[id], r.toBroker[n] = n, id
	}
}

func (r *renamedIDs) script(id int64) int64 {
	if n, ok := r.toScript[id]; ok {
		return n
	}
	return id
}

func (r *renamedIDs) broker(n int64) int64 {
	if id, ok := r.toBroker[n]; ok {
		return id
	}
	return n
}

// handedOut is an id in an answer that gives one to the producer.
func (b *Broker) handedOut(id int64) int64 {
	if b.RenamesIDs {
		b.ids.note(id)
	}
	return b.ids.script(id)
}
