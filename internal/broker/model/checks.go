package model

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file holds the checks of a trace that need no worlds.

// checkProducerID asks that a producer id belongs to one transactional id, and is new where none is named.
func (v *Validator) checkProducerID(e trace.Event) []Finding {
	var id int64
	var owner string
	switch e := e.(type) {
	case trace.InitProducerID:
		if e.Code != trace.None {
			return nil
		}
		id, owner = e.Producer.ID, e.TxnID.Value
	case trace.EndTxn:
		if e.Code != trace.None || e.Next.ID < 0 || e.Version < 5 {
			return nil
		}
		id, owner = e.Next.ID, e.TxnID
	default:
		return nil
	}
	before, isKnown := v.owners[id]
	v.owners[id] = owner
	if !isKnown || before == owner && owner != "" {
		return nil
	}
	return []Finding{{
		Index: v.index, Event: e, Reason: NewProducerID, IsCertain: true,
		Expected: fmt.Sprintf("another producer id, since %d was handed out before", id),
	}}
}

// checkGeneration asks that the generations that commit a partition never go back: then a member that the group has given
// up got through.
func (v *Validator) checkGeneration(e trace.Event) []Finding {
	c, ok := e.(trace.OffsetCommit)
	if !ok || c.Generation < 0 {
		return nil
	}
	for i, o := range c.Offsets {
		if i >= len(c.Codes) || c.Codes[i] != trace.None {
			continue
		}
		key := groupPartition{c.Group, o.Partition}
		newest, isKnown := v.generations[key]
		if isKnown && c.Generation < newest {
			return []Finding{{
				Index: v.index, Event: e, Reason: GroupGeneration, IsCertain: true,
				Expected: fmt.Sprintf("ILLEGAL_GENERATION, since generation %d has committed %s", newest, o.Partition),
			}}
		}
		v.generations[key] = c.Generation
	}
	return nil
}
