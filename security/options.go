package security

import (
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/warnings"
)

// Options returns the options of a client that connects to the brokers as c says; they go into eos.Tuning.Client. All
// files and secrets are read once, so that what is missing or does not fit is an error now, and warnings are logged. The
// options hold a kgo.Dialer, and do not go together with another one.
func (c Config) Options() ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Logger = warnings.Logger(c.Logger)
	c.warn()
	var opts []kgo.Opt
	if c.protocol().hasTLS() {
		d, err := c.dialer()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(d.dial))
	}
	if c.protocol().hasSASL() {
		mechanism, err := c.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// warn says what is allowed and should not last.
func (c Config) warn() {
	p := c.protocol()
	if c.TLS.InsecureSkipVerify {
		c.Logger.Warn("the brokers' certificates are not verified: anyone on the network path can read and change the records, and take the password")
	}
	if c.TLS.SkipHostVerify && !c.TLS.InsecureSkipVerify {
		c.Logger.Warn("the host names in the brokers' certificates are not verified: anyone with a certificate of the authority can pretend to be a broker")
	}
	if p == SASLPlaintext && c.SASL.Mechanism.showsItself() {
		c.Logger.Warn("the connection is not encrypted: anyone who reads the network can log in as this client", "mechanism", c.SASL.Mechanism)
	}
	for _, path := range []string{c.SASL.Password.file(), c.SASL.Token.file(), c.TLS.KeyPassword.file(), c.TLS.KeyFile, c.TLS.CertFile} {
		if path != "" && (path != c.TLS.CertFile || c.TLS.KeyFile == "") && isOpenToOthers(path) {
			c.Logger.Warn("this file holds a secret, and every user of the machine may read it: remove that permission (chmod o-rwx)", "file", path)
		}
	}
}

// isOpenToOthers says whether users beside the owner and his group may read or write the file. One that is not there is not.
func isOpenToOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o006 != 0
}

// latest gives what read returns now, or, where that fails, what it returned last: a file that is being replaced shall
// not end what runs.
type latest[T any] struct {
	what string
	read func() (T, error)
	log  *slog.Logger

	mu   sync.Mutex
	good *T
}

func (l *latest[T]) get() (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := l.read()
	switch {
	case err == nil:
		l.good = &now
		return now, nil
	case l.good == nil:
		return now, fmt.Errorf("%s: %w", l.what, err)
	}
	l.log.Warn("cannot be read again; using its former value", "what", l.what, "err", err)
	return *l.good, nil
}
