package model

// IDs hands out producer ids, as RPCProducerIdManager and the controller's ProducerIdControlManager do (KIP-730): blocks of 1000
// consecutive ids, each id and each block once.
//
// Simplification: the next block is there as soon as it is needed. (A real broker answers COORDINATOR_LOAD_IN_PROGRESS until the
// controller has sent it, always to the very first request; clients ask again.)
type IDs struct {
	next int64
	end  int64 // behind the block
}

const idBlock = 1000

// Next hands out an id.
func (i *IDs) Next() int64 {
	if i.next == i.end {
		i.end += idBlock
	}
	i.next++
	return i.next - 1
}

// Restart drops what is left of the block, as a broker that restarts does.
func (i *IDs) Restart() { i.next = i.end }

// startAt makes id the next one that is handed out.
func (i *IDs) startAt(id int64) { i.next, i.end = id, id+idBlock }
