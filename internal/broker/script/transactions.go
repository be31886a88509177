package script

import (
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

func (r *Runner) initProducerID(w *words) (string, error) {
	q := model.InitProducerIDRequest{
		Version: w.version(), TxnID: w.null("transactional id"), Expected: trace.NoProducer, TimeoutMs: int32(w.integer("timeout", 60_000)),
		Enable2PC: w.flag("2pc"), KeepPrepared: w.flag("keep"),
	}
	if expected := w.option("expect", ""); expected != "" {
		q.Expected = w.parseProducer(expected)
	}
	bind := w.option("bind", "")
	if err := w.finish(); err != nil {
		return "", err
	}
	a, err := r.broker.InitProducerID(q)
	if err != nil || a.Code != trace.None {
		return codeText(a.Code), err
	}
	r.bind(bind, a.Producer.ID)
	return "NONE " + r.nameProducer(a.Producer), nil
}

// raise asks for the next epoch until it is the one given, and prints the last answer.
func (r *Runner) raise(w *words) (string, error) {
	q := model.InitProducerIDRequest{Version: w.version(), TxnID: w.null("transactional id"), TimeoutMs: 60_000}
	goal := w.producer()
	if err := w.finish(); err != nil {
		return "", err
	}
	a := model.InitProducerIDAnswer{Producer: trace.Producer{ID: goal.ID}}
	for before := int16(-1); a.Producer.Epoch < goal.Epoch && a.Producer.Epoch > before; {
		q.Expected, before = a.Producer, a.Producer.Epoch
		var err error
		if a, err = r.broker.InitProducerID(q); err != nil || a.Code != trace.None {
			return codeText(a.Code), err
		}
	}
	return "NONE " + r.nameProducer(a.Producer), nil
}

func (r *Runner) end(w *words) (string, error) {
	q := model.EndTxnRequest{Version: w.version(), TxnID: w.name("transactional id"), Producer: w.producer(), IsCommit: w.isCommit()}
	bind := w.option("bind", "")
	if err := w.finish(); err != nil {
		return "", err
	}
	a, err := r.broker.EndTxn(q)
	if err != nil || a.Code != trace.None || q.Version < 5 {
		return codeText(a.Code), err
	}
	r.bind(bind, a.Next.ID)
	return "NONE " + r.nameProducer(a.Next), nil
}

func (r *Runner) addPartitions(w *words) (string, error) {
	q := model.AddPartitionsRequest{
		Version: w.version(), TxnID: w.name("transactional id"), Producer: w.producer(), IsVerifyOnly: w.flag("verify"), Partitions: w.partitions(),
	}
	if err := w.finish(); err != nil {
		return "", err
	}
	answers, err := r.broker.AddPartitions(q)
	return partitionAnswers(answers), err
}

// partitionAnswers prints a code for each partition.
func partitionAnswers(answers []model.PartitionAnswer) string {
	if answers == nil {
		return codeText(trace.NoReply)
	}
	texts := make([]string, len(answers))
	for i, a := range answers {
		texts[i] = codeText(a.Code)
	}
	return strings.Join(texts, ", ")
}

func (r *Runner) addOffsets(w *words) (string, error) {
	q := model.AddOffsetsRequest{Version: w.version(), TxnID: w.name("transactional id"), Producer: w.producer(), Group: w.name("group")}
	if err := w.finish(); err != nil {
		return "", err
	}
	if err := r.noteGroup(q.Group); err != nil {
		return "", err
	}
	a, err := r.broker.AddOffsets(q)
	return codeText(a.Code), err
}

func (r *Runner) writeMarkers(w *words) (string, error) {
	q := model.WriteTxnMarkersRequest{Version: w.version()}
	p := w.producer()
	q.Marker = model.Marker{ProducerID: p.ID, Epoch: p.Epoch, IsCommit: w.isCommit(), CoordinatorEpoch: int32(w.must("coord"))}
	if w.flag("tv2") {
		q.Marker.Protocol = 2
	}
	q.Partitions = w.partitions()
	if err := w.finish(); err != nil {
		return "", err
	}
	codes, err := r.broker.WriteTxnMarkers(q)
	if codes == nil {
		return codeText(trace.NoReply), err
	}
	texts := make([]string, len(codes))
	for i, c := range codes {
		texts[i] = codeText(c)
	}
	return strings.Join(texts, ", "), err
}

func (r *Runner) describe(w *words) (string, error) {
	id, bind := w.name("transactional id"), w.option("bind", "")
	if err := w.finish(); err != nil {
		return "", err
	}
	return r.describeTxn(id, bind)
}

func (r *Runner) describeTxn(id, bind string) (string, error) {
	t, code, err := r.broker.DescribeTransaction(id)
	if err != nil || code != trace.None {
		return codeText(code), err
	}
	r.bind(bind, t.ProducerID)
	var partitions []string
	for _, p := range t.Partitions {
		partitions = append(partitions, r.namePartition(p))
	}
	slices.Sort(partitions) // brokers list them in any order
	words := append([]string{t.State.String(), r.nameProducer(trace.Producer{ID: t.ProducerID, Epoch: t.Epoch})}, partitions...)
	return strings.Join(words, " "), nil
}

func (r *Runner) settle(w *words) (string, error) {
	id, bind := w.name("transactional id"), w.option("bind", "")
	if err := w.finish(); err != nil {
		return "", err
	}
	if err := r.broker.Settle(id); err != nil {
		return "", err
	}
	return r.describeTxn(id, bind)
}

func (r *Runner) wait(w *words) (string, error) {
	ms := w.number("milliseconds")
	if err := w.finish(); err != nil {
		return "", err
	}
	return "done", r.broker.Wait(ms)
}

func (r *Runner) restart(w *words) (string, error) {
	if err := w.finish(); err != nil {
		return "", err
	}
	return "done", r.broker.Restart()
}
