package eos

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Credentials that are refused stop a session that is opening at once; one that runs tries again for some time, counted from
// the first refusal, and then stops. Other errors are not concerned.
func TestRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := fmt.Errorf("join: %w", kerr.SaslAuthenticationFailed)
		s := &Session{cfg: Config{}.withDefaults()}
		require.Equal(t, actStop, s.act(refused, actReplay), "opening")
		s.client = &client{}
		require.Equal(t, actStop, s.act(kerr.TopicAuthorizationFailed, actReplay))
		require.Equal(t, actReplay, s.act(kerr.RebalanceInProgress, actReplace))
		require.Equal(t, actReplace, s.act(refused, actReplay))
		time.Sleep(refusalPatience) //nolint:forbidigo // virtual time
		require.Equal(t, actReplace, s.act(refused, actReplay))
		time.Sleep(time.Nanosecond) //nolint:forbidigo // virtual time
		require.Equal(t, actStop, s.act(refused, actReplay))
	})
}
