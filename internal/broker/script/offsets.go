package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

func (r *Runner) txnOffsets(w *words) (string, error) {
	q := model.TxnOffsetCommitRequest{
		Version: w.version(), TxnID: w.name("transactional id"), Producer: w.producer(), Group: w.name("group"), Metadata: w.groupMetadata(),
		Offsets: w.offsets(),
	}
	if err := w.finish(); err != nil {
		return "", err
	}
	if err := r.noteGroup(q.Group); err != nil {
		return "", err
	}
	answers, err := r.broker.TxnOffsetCommit(q)
	return partitionAnswers(answers), err
}

// groupMetadata reads what the producer knows of its group member; by default nothing.
func (w *words) groupMetadata() model.GroupMetadata {
	m := model.GroupMetadata{Generation: int32(w.integer("gen", -1)), Member: w.option("member", "")}
	if instance := w.option("instance", "-"); instance != "-" {
		m.Instance = trace.Some(instance)
	}
	return m
}

// offsets reads @p=offset words.
func (w *words) offsets() []model.OffsetToCommit {
	metadata := int(w.integer("metadata", 0))
	var list []model.OffsetToCommit
	for len(w.rest) > 0 && strings.Contains(w.rest[0], "@") {
		name, offset, _ := strings.Cut(w.next("offset"), "=")
		n, err := strconv.ParseInt(offset, 10, 64)
		if err != nil {
			w.fail("offset of %s: %w", name, err)
		}
		list = append(list, model.OffsetToCommit{Partition: w.parsePartition(name), Offset: n, MetadataBytes: metadata})
	}
	return list
}

func (r *Runner) commitOffsets(w *words) (string, error) {
	q := model.OffsetCommitRequest{Group: w.name("group"), Metadata: w.groupMetadata(), Offsets: w.offsets()}
	if err := w.finish(); err != nil {
		return "", err
	}
	answers, err := r.broker.OffsetCommit(q)
	return partitionAnswers(answers), err
}

func (r *Runner) fetchOffsets(w *words) (string, error) {
	q := model.OffsetFetchRequest{Group: w.name("group"), Partition: w.partition(), IsStable: w.flag("stable")}
	if err := w.finish(); err != nil {
		return "", err
	}
	a, err := r.broker.OffsetFetch(q)
	return fmt.Sprintf("%s %d", codeText(a.Code), a.Offset), err
}

// group makes a group with members: "group g classic gen=1 M S:i1", or "group g consumer M epoch=3 @0:2".
func (r *Runner) group(w *words) (string, error) {
	g := model.Group{ID: w.name("group")}
	switch kind := w.next("kind of group"); kind {
	case "classic":
		g.Generation = int32(w.must("gen"))
		for _, word := range w.rest {
			id, instance, _ := strings.Cut(word, ":")
			g.Members = append(g.Members, model.Member{ID: id, Instance: instance})
		}
	case "consumer":
		g.Kind = model.ConsumerGroup
		g.Members = []model.Member{w.consumerMember()}
	default:
		w.fail("%q: a group is classic or consumer", kind)
	}
	w.rest = nil
	if err := w.finish(); err != nil {
		return "", err
	}
	return "done", r.broker.SetGroup(g)
}

func (w *words) consumerMember() model.Member {
	m := model.Member{ID: w.next("member"), Epoch: int32(w.must("epoch"))}
	for _, word := range slices.Clone(w.rest) {
		name, epoch, _ := strings.Cut(word, ":")
		n, err := strconv.ParseInt(epoch, 10, 32)
		if err != nil {
			w.fail("%q: write @0:2 for a partition assigned at epoch 2", word)
		}
		m.Assigned = append(m.Assigned, model.Assigned{Partition: w.parsePartition(name), Epoch: int32(n)})
	}
	return m
}
