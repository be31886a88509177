package script

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// produce reads one or more batches with "+" between them.
func (r *Runner) produce(w *words) (string, error) {
	q := model.ProduceRequest{Version: w.version(), TxnID: w.null("transactional id"), Acks: int16(w.integer("acks", -1))}
	for {
		end := slices.Index(w.rest, "+")
		if end < 0 {
			break
		}
		head := &words{r: r, rest: w.rest[:end], err: w.err}
		q.Batches = append(q.Batches, head.batch())
		w.err, w.rest = head.finish(), w.rest[end+1:]
	}
	q.Batches = append(q.Batches, w.batch())
	if err := w.finish(); err != nil {
		return "", err
	}
	answers, err := r.broker.Produce(q)
	if err != nil {
		return "", err
	}
	if q.Acks == 0 && q.Version >= 3 {
		return "no answer", nil
	}
	texts := make([]string, len(answers))
	for i, a := range answers {
		texts[i] = r.produceAnswer(a)
	}
	return strings.Join(texts, ", "), nil
}

// batch reads one batch. Its default timestamp is the start of the script; its digest that of the word given.
func (w *words) batch() model.ProduceBatch {
	p := w.partition()
	producer := w.producer()
	b := model.Batch{
		ProducerID: producer.ID, Epoch: producer.Epoch, IsTransactional: w.flag("T"), BaseSequence: int32(w.must("seq")),
		Count: int32(w.integer("n", 1)), TimeMs: w.r.broker.StartMs() + w.integer("ts", 0),
	}
	if word := w.option("digest", ""); word != "" {
		h := fnv.New64a()
		h.Write([]byte(word))
		b.Digest = h.Sum64()
	}
	flaw := w.option("flaw", "")
	var ok bool
	if b.Flaw, ok = model.ParseFlaw(flaw); !ok {
		w.fail("no flaw is called %q", flaw)
	}
	return model.ProduceBatch{Partition: p, Batch: b}
}

// produceAnswer prints the code and what is not as usual: the usual is log append time -1 and log start 0 on success, and
// offset and log start -1 on an error. Messages on invalid records are not printed, their words being nobody's contract.
func (r *Runner) produceAnswer(a model.ProduceAnswer) string {
	text := codeText(a.Code)
	if a.Code == trace.NoReply {
		return text
	}
	usualStart := int64(-1)
	if a.Code == trace.None {
		usualStart = 0
	}
	if a.Code == trace.None || a.BaseOffset != -1 {
		text += fmt.Sprintf(" %d", a.BaseOffset)
	}
	if a.LogAppendTime != -1 {
		text += " time=" + r.nameTime(a.LogAppendTime)
	}
	if a.LogStartOffset != usualStart {
		text += fmt.Sprintf(" start=%d", a.LogStartOffset)
	}
	if a.Message != "" && a.Code != trace.InvalidRecord {
		text += fmt.Sprintf(" %q", a.Message)
	}
	return text
}

func (r *Runner) fetch(w *words) (string, error) {
	q := model.FetchRequest{Partition: w.partition(), Offset: w.integer("from", 0), IsReadCommitted: w.flag("committed")}
	if err := w.finish(); err != nil {
		return "", err
	}
	a, err := r.broker.Fetch(q)
	if err != nil || a.Code != trace.None {
		return codeText(a.Code), err
	}
	text := fmt.Sprintf("hw=%d lso=%d", a.HighWatermark, a.LastStableOffset)
	if q.IsReadCommitted {
		text += " aborted=" + r.abortedText(a.Aborted)
	} else if a.Aborted != nil {
		text += " aborted=not-null"
	}
	batches := make([]string, len(a.Batches))
	for i, b := range a.Batches {
		batches[i] = r.batchText(b)
	}
	text += " log=[" + strings.Join(batches, " ") + "]"
	if q.IsReadCommitted {
		var delivered []int64
		for _, b := range model.Delivered(a.Batches, a.Aborted) {
			delivered = append(delivered, b.BaseOffset)
		}
		text += fmt.Sprintf(" delivered=%v", delivered)
	}
	return text, nil
}

func (r *Runner) abortedText(list []model.AbortedTxn) string {
	if list == nil {
		return "null"
	}
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = fmt.Sprintf("%s@%d", r.nameID(t.ProducerID), t.FirstOffset)
	}
	return "[" + strings.Join(texts, " ") + "]"
}

// batchText prints a data batch as its base offset, and a marker as its offset, kind and producer.
func (r *Runner) batchText(b model.LogBatch) string {
	if b.Control == model.Data {
		return fmt.Sprint(b.BaseOffset)
	}
	return fmt.Sprintf("%d:%s:%s", b.BaseOffset, b.Control, r.nameProducer(trace.Producer{ID: b.ProducerID, Epoch: b.Epoch}))
}

func (r *Runner) listOffsets(w *words) (string, error) {
	q := model.ListOffsetsRequest{Partition: w.partition(), IsReadCommitted: w.flag("committed")}
	if err := w.finish(); err != nil {
		return "", err
	}
	offset, code, err := r.broker.ListOffsets(q)
	if err != nil || code != trace.None {
		return codeText(code), err
	}
	return fmt.Sprintf("NONE %d", offset), nil
}

func (r *Runner) producers(w *words) (string, error) {
	p := w.partition()
	if err := w.finish(); err != nil {
		return "", err
	}
	list, code, err := r.broker.DescribeProducers(p)
	if err != nil || code != trace.None {
		return codeText(code), err
	}
	var texts []string
	for _, e := range list {
		texts = append(texts, fmt.Sprintf("%s last=%d txn=%d", r.nameProducer(trace.Producer{ID: e.ID, Epoch: e.Epoch}), e.LastSequence, e.TxnFirstOffset))
	}
	slices.Sort(texts)
	if len(texts) == 0 {
		return "nothing", nil
	}
	return strings.Join(texts, "; "), nil
}

func (r *Runner) deleteRecords(w *words) (string, error) {
	p, offset := w.partition(), w.number("offset")
	if err := w.finish(); err != nil {
		return "", err
	}
	code, err := r.broker.DeleteRecords(p, offset)
	return codeText(code), err
}
