package processor

import (
	"maps"
	"slices"
	"sync"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// holdings tells a lane's work which partitions the lane has. The session reports assignments on goroutines of its own;
// the work hears of them on the lane's goroutine, before it gets the next batch.
type holdings struct {
	mu       sync.Mutex
	reported [][]offsets.Partition // by the session and not yet told, oldest first; each is all that it had from then on

	told map[offsets.Partition]bool // what the work knows; owned by the lane's goroutine
}

// observer returns what a session of the lane must report to.
func (h *holdings) observer() eos.Observer {
	return eos.Observer{
		Assigned: func(a eos.Assignment) { h.report(a.Partitions) },
		Transition: func(t eos.Transition) {
			if t.To == eos.Replacing { // the new client is a new member, which has nothing yet
				h.report(nil)
			}
		},
	}
}

// report notes an assignment. Any goroutine may call it.
func (h *holdings) report(all []offsets.Partition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reported = append(h.reported, slices.Clone(all))
}

// follow tells the work, in order, what was reported since the last call. The partitions of the batch are assigned
// afterwards in any case, whether or not the client has reported them.
func (h *holdings) follow(w work, batch offsets.Set) {
	h.mu.Lock()
	reported := h.reported
	h.reported = nil
	h.mu.Unlock()
	for _, all := range reported {
		h.tell(w, all)
	}
	var unreported []offsets.Partition
	for p := range batch {
		if !h.told[p] {
			unreported = append(unreported, p)
		}
	}
	h.assign(w, unreported)
}

// drop revokes everything: the session has ended.
func (h *holdings) drop(w work) {
	h.mu.Lock()
	h.reported = nil
	h.mu.Unlock()
	h.tell(w, nil)
}

// tell makes all the partitions that the work knows.
func (h *holdings) tell(w work, all []offsets.Partition) {
	gone := maps.Clone(h.told)
	var added []offsets.Partition
	for _, p := range all {
		if delete(gone, p); !h.told[p] {
			added = append(added, p)
		}
	}
	if len(gone) > 0 {
		for p := range gone {
			delete(h.told, p)
		}
		w.revoked(slices.SortedFunc(maps.Keys(gone), offsets.Partition.Compare))
	}
	h.assign(w, added)
}

func (h *holdings) assign(w work, added []offsets.Partition) {
	if len(added) == 0 {
		return
	}
	for _, p := range added {
		set(&h.told, p, true)
	}
	slices.SortFunc(added, offsets.Partition.Compare)
	w.assigned(added)
}
