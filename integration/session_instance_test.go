package integration

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

func TestExperimentInstance(t *testing.T) {
	for _, version := range []int16{5, 6} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			protocols(t, func(b *sessionBench) {
				b.write(300)
				cfg, tap := b.tapped("a")
				cfg.InstanceID = "same"
				most := kversion.Stable()
				most.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), version)
				cfg.Client = append(cfg.Client, kgo.MaxVersions(most))
				first := b.open(cfg)
				batch := b.poll(first)
				held := tap.Hold(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest})
				ended := make(chan error, 1)
				go func() { ended <- first.Commit(t.Context(), batch, b.copies(batch)) }()
				b.await(held.Reached(), "offsets")
				cfg2, _ := b.tapped("b")
				cfg2.InstanceID = "same"
				second := b.open(cfg2)
				its := b.poll(second)
				held.Release()
				err := <-ended
				t.Logf("the first was told: %v next %v", err, sessionNext(err))
				for range 2 {
					batch, err := first.Poll(t.Context())
					t.Logf("poll: %d %v", len(batch.Records), err)
					if err != nil && sessionNext(err) == eos.Stop {
						break
					}
					t.Logf("commit: %v", first.Commit(t.Context(), batch, b.copies(batch)))
				}
				t.Logf("second: %v", second.Commit(t.Context(), its, b.copies(its)))
				b.requireOnce()
			})
		})
	}
}
