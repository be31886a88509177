#!/usr/bin/env bash
# A broker with a quota for a consumer gives it no batch that is larger than what the quota lets through in its window, some eleven seconds: each fetch is throttled and
# brings nothing, without an error, for as long as the quota stays. Kafka counts the batch, finds it too much, takes it off the count again and answers with none.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python=python3
golang github.com/twmb/franz-go@v1.22.3 github.com/twmb/franz-go/pkg/kadm@v1.20.0
kafka
about "Apache Kafka 4.4.0, asked by franz-go 1.22.3" \
  "With consumer_byte_rate=8000 a batch of 20,000 bytes is given, and one of 200,000 bytes is not within a minute, though the quota would have let" \
  "480,000 bytes through. Each answer throttles, and none has an error. A client without a quota gets both at once."
cat >"$work/go/main.go" <<'GO'
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type throttles struct{ n int }

func (t *throttles) OnBrokerThrottle(kgo.BrokerMetadata, time.Duration, bool) { t.n++ }

func main() {
	ctx, seeds := context.Background(), kgo.SeedBrokers(os.Args[1])
	cl, err := kgo.NewClient(seeds, kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		panic(err)
	}
	defer cl.Close()
	adm, slow := kadm.NewClient(cl), "slow"
	quota := kadm.AlterClientQuotaEntry{Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &slow}}, Ops: []kadm.AlterClientQuotaOp{{Key: "consumer_byte_rate", Value: 8000}}}
	if _, err := adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{quota}); err != nil {
		panic(err)
	}
	for _, size := range []int{20_000, 200_000} {
		topic := fmt.Sprint("t", size)
		if _, err := adm.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
			panic(err)
		}
		value := make([]byte, size)
		_, _ = rand.Read(value)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
			panic(err)
		}
		for _, id := range []string{"free", slow} {
			read(ctx, seeds, topic, id)
		}
	}
}

func read(ctx context.Context, seeds kgo.Opt, topic, id string) {
	var t throttles
	cl, err := kgo.NewClient(seeds, kgo.ClientID(id), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithHooks(&t))
	if err != nil {
		panic(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got := cl.PollFetches(ctx)
	fmt.Println(got.NumRecords(), ctx.Err() == nil && got.Err() != nil, t.n > 1)
}
GO
run_go "$brokers" >"$work/out"
seen "20,000 bytes, no quota: records, an error, throttled again and again" "1 false false" "$(sed -n 1p "$work/out")"
seen "20,000 bytes with the quota" "1 false false" "$(sed -n 2p "$work/out")"
seen "200,000 bytes, no quota" "1 false false" "$(sed -n 3p "$work/out")"
seen "200,000 bytes with the quota" "0 false true" "$(sed -n 4p "$work/out")"
