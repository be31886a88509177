#!/usr/bin/env bash
# kgo takes a record's timestamp through nanoseconds in 64 bits, which end in the years 1677 and 2262. A timestamp beyond, as one in microseconds where milliseconds
# are expected, is another one when the record is written again. Kafka itself takes any number of milliseconds. The broker is kfake, in the same process.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
golang github.com/twmb/franz-go@v1.22.3 github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c
about "twmb/franz-go (kgo) 1.22.3" \
  "A record with the time of millisecond 1764500000000000 (which is a microsecond of 2025) is produced and read back: it comes with" \
  "-6387431076116, in 1767. The year 2261 comes back as it was. Nothing says so: produce and fetch succeed."
cat >"$work/go/main.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		panic(err)
	}
	defer cluster.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("t"), kgo.ConsumeTopics("t"))
	if err != nil {
		panic(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, milli := range []int64{9_183_110_400_000, 1_764_500_000_000_000} {
		if err := cl.ProduceSync(ctx, &kgo.Record{Timestamp: time.UnixMilli(milli), Value: []byte("x")}).FirstErr(); err != nil {
			panic(err)
		}
		for read := false; !read; {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				fmt.Println(r.Timestamp.UnixMilli())
				read = true
			})
			if ctx.Err() != nil {
				panic(ctx.Err())
			}
		}
	}
}
GO
run_go >"$work/out"
seen "produced with 9183110400000 (in 2261), read" 9183110400000 "$(sed -n 1p "$work/out")"
seen "produced with 1764500000000000, read" -6387431076116 "$(sed -n 2p "$work/out")"
