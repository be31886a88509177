package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// InitProducerID asks the coordinator. The end of an open transaction that it may begin is awaited like that of an EndTxn.
func (b *Broker) InitProducerID(q model.InitProducerIDRequest) (model.InitProducerIDAnswer, error) {
	if a, ok := b.answerRaised(q); ok {
		return a, nil
	}
	req := &kmsg.InitProducerIDRequest{
		Version: q.Version, TransactionalID: b.nullTxnID(q.TxnID), TransactionTimeoutMillis: q.TimeoutMs,
		ProducerID: b.ids.broker(q.Expected.ID), ProducerEpoch: q.Expected.Epoch,
	}
	var sent kmsg.Request = req
	if q.Version >= 6 {
		sent = &initV6{InitProducerIDRequest: req, enable2PC: q.Enable2PC, keepPrepared: q.KeepPrepared}
	}
	var r *kmsg.InitProducerIDResponse
	err := b.repeatUnsettled(q.TxnID.Value, func() (trace.Code, error) {
		resp, err := b.ask(sent, func(r kmsg.Response) int16 { return initResponse(r).ErrorCode })
		if err != nil || resp == nil {
			r = nil
			return trace.NoReply, err
		}
		r = initResponse(resp)
		return trace.Code(r.ErrorCode), nil
	})
	switch {
	case err != nil:
		return model.InitProducerIDAnswer{}, err
	case r == nil:
		return model.InitProducerIDAnswer{Code: trace.NoReply}, nil
	}
	a := model.InitProducerIDAnswer{Code: trace.Code(r.ErrorCode)}
	if a.Code == trace.None {
		a.Producer = trace.Producer{ID: b.handedOut(r.ProducerID), Epoch: r.ProducerEpoch}
	}
	if a.Code == trace.ConcurrentTransactions {
		b.unsettled[q.TxnID.Value] = true
	}
	return a, nil
}

func initResponse(r kmsg.Response) *kmsg.InitProducerIDResponse {
	if v6, ok := r.(*initV6Response); ok {
		return v6.InitProducerIDResponse
	}
	return r.(*kmsg.InitProducerIDResponse)
}

// initV6 is InitProducerId v6 (KIP-939), which kmsg does not know: two more fields in the request, two in the answer.
type initV6 struct {
	*kmsg.InitProducerIDRequest
	enable2PC    bool
	keepPrepared bool
}

// AppendTo writes v5 and the two fields behind it.
func (r *initV6) AppendTo(dst []byte) []byte {
	dst = r.InitProducerIDRequest.AppendTo(dst)
	dst = dst[:len(dst)-1] // the number of tags, which is 0
	for _, flag := range []bool{r.enable2PC, r.keepPrepared} {
		value := byte(0)
		if flag {
			value = 1
		}
		dst = append(dst, value)
	}
	return append(dst, 0)
}

// ResponseKind is an answer whose end is not read.
func (r *initV6) ResponseKind() kmsg.Response {
	return &initV6Response{r.InitProducerIDRequest.ResponseKind().(*kmsg.InitProducerIDResponse)}
}

type initV6Response struct{ *kmsg.InitProducerIDResponse }

// ReadFrom reads what v5 has too: throttle time, error code, producer id, epoch.
func (r *initV6Response) ReadFrom(src []byte) error {
	const inV5 = 4 + 2 + 8 + 2
	if len(src) < inV5 {
		return errShort
	}
	r.ThrottleMillis = int32(binary.BigEndian.Uint32(src))
	r.ErrorCode = int16(binary.BigEndian.Uint16(src[4:]))
	r.ProducerID = int64(binary.BigEndian.Uint64(src[6:]))
	r.ProducerEpoch = int16(binary.BigEndian.Uint16(src[14:]))
	return nil
}
