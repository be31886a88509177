package model

import "slices"

// history is a list to which things are only ever added. Its clone costs a pointer for each chunk, since what is in a list
// never changes and can be shared; a log of a million batches is copied at every fork of a world.
type history[T any] struct {
	full [][]T // chunks of chunkLength, shared with clones
	tail []T   // the newest ones; its memory up to len is shared with clones
}

const chunkLength = 256

func (h *history[T]) add(v T) {
	if len(h.tail) == chunkLength {
		h.full = append(h.full, h.tail)
		h.tail = make([]T, 0, chunkLength)
	}
	h.tail = append(h.tail, v)
}

func (h *history[T]) len() int { return len(h.full)*chunkLength + len(h.tail) }

func (h *history[T]) at(i int) *T {
	if c := i / chunkLength; c < len(h.full) {
		return &h.full[c][i%chunkLength]
	}
	return &h.tail[i-len(h.full)*chunkLength]
}

// clone returns a list that can be added to independently: clipped slices make its first append move to new memory, while
// the original goes on in the old, behind what the clone can see.
func (h *history[T]) clone() history[T] {
	return history[T]{full: slices.Clip(h.full), tail: slices.Clip(h.tail)}
}
