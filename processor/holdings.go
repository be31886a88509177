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
	mu    sync.Mutex
	isNew bool                       // the session has reported since the work was told last
	kept  map[offsets.Partition]bool // what was in every report since then
	last  map[offsets.Partition]bool // the newest report

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
	h.last = make(map[offsets.Partition]bool, len(all))
	for _, p := range all {
		h.last[p] = true
	}
	if !h.isNew {
		h.isNew, h.kept = true, maps.Clone(h.last)
	}
	maps.DeleteFunc(h.kept, func(p offsets.Partition, _ bool) bool { return !h.last[p] })
}

// take returns what was reported since it was called last.
func (h *holdings) take() (isNew bool, kept, last map[offsets.Partition]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	isNew, kept, last = h.isNew, h.kept, h.last
	h.isNew, h.kept, h.last = false, nil, nil
	return isNew, kept, last
}

// follow tells the work what was reported since the last call: first what was lost meanwhile, even if it was assigned
// again, then what there is now. The partitions of the batch are assigned afterwards in any case, whether or not the
// client has reported them.
func (h *holdings) follow(w work, batch offsets.Set) {
	if isNew, kept, last := h.take(); isNew {
		h.tell(w, slices.Collect(maps.Keys(kept)))
		h.tell(w, slices.Collect(maps.Keys(last)))
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
	h.take()
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
