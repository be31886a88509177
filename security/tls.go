package security

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// How long a connection may take, and together with its TLS handshake. The first is what a session allows without TLS.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
)

// dialer makes TLS connections, each with the certificates that the files hold by then.
type dialer struct {
	tls latest[*tls.Config]
}

func (c Config) dialer() (*dialer, error) {
	d := &dialer{tls: latest[*tls.Config]{what: "TLS", read: c.TLS.config, log: c.Logger}}
	cfg, err := d.tls.get()
	if err != nil {
		return nil, err
	}
	for _, cert := range cfg.Certificates {
		if leaf, err := x509.ParseCertificate(cert.Certificate[0]); err == nil && time.Now().After(leaf.NotAfter) {
			c.Logger.Warn("the client's certificate has expired: brokers will refuse it", "expired", leaf.NotAfter)
		}
	}
	return d, nil
}

// dial is kgo's Dialer.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	cfg, err := d.tls.get()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: cfg}).DialContext(ctx, network, address)
}

// config reads the files.
func (t TLS) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: max(t.minVersion, tls.VersionTLS12), MaxVersion: t.maxVersion, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	var err error
	if cfg.RootCAs, err = t.authorities(); err != nil {
		return nil, err
	}
	if cfg.Certificates, err = t.certificates(); err != nil {
		return nil, err
	}
	if t.SkipHostVerify && !t.InsecureSkipVerify {
		cfg.InsecureSkipVerify = true // what is left out is done here, but for the name
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s.PeerCertificates, cfg.RootCAs) }
	}
	return cfg, nil
}

func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}

// authorities are those to trust; nil means those of the machine.
func (t TLS) authorities() (*x509.CertPool, error) {
	data, from := []byte(t.ca), "ssl.truststore.certificates"
	if t.CAFile != "" {
		from = t.CAFile
		var err error
		if data, err = readFile(t.CAFile); err != nil {
			return nil, err
		}
	}
	if len(data) == 0 && t.CAFile == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if isPEM(data) {
		certs, err := parseCertificates(data)
		if err != nil || len(certs) == 0 {
			return nil, fmt.Errorf("%s: %w", from, cmp.Or(err, errors.New("it holds no certificate")))
		}
		for _, c := range certs {
			pool.AddCert(c)
		}
		return pool, nil
	}
	if err := checkStore(from, data); err != nil {
		return nil, err
	}
	password, err := optional(t.CAPassword)
	if err != nil {
		return nil, err
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err != nil {
		return nil, fmt.Errorf("the PKCS#12 store %s cannot be read (is its password right, and does it hold only certificates?): %w", from, err)
	}
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// certificates are the client's: one or none.
func (t TLS) certificates() ([]tls.Certificate, error) {
	switch {
	case t.cert != "":
		key, err := t.key.Read()
		if err != nil {
			return nil, err
		}
		return pair("ssl.keystore.certificate.chain", []byte(t.cert), []byte(key))
	case t.CertFile == "":
		return nil, nil
	}
	data, err := readFile(t.CertFile)
	if err != nil {
		return nil, err
	}
	if !isPEM(data) {
		return t.fromStore(data)
	}
	key := data
	if t.KeyFile != "" {
		if key, err = readFile(t.KeyFile); err != nil {
			return nil, err
		}
	}
	return pair(t.CertFile, data, key)
}

func pair(from string, cert, key []byte) ([]tls.Certificate, error) {
	if isEncrypted(key) {
		return nil, fmt.Errorf("the key of %s is encrypted, which PEM keys must not be here: decrypt it (openssl pkey), or take a PKCS#12 store", from)
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s and its key: %w", from, err)
	}
	return []tls.Certificate{c}, nil
}

// fromStore takes the certificate and its key out of a PKCS#12 store.
func (t TLS) fromStore(data []byte) ([]tls.Certificate, error) {
	if err := checkStore(t.CertFile, data); err != nil {
		return nil, err
	}
	if t.KeyFile != "" {
		return nil, fmt.Errorf("%s is a store, which holds its key: leave the key file out", t.CertFile)
	}
	password, err := optional(t.KeyPassword)
	if err != nil {
		return nil, err
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, fmt.Errorf("the PKCS#12 store %s cannot be read (is its password right?): %w", t.CertFile, err)
	}
	c := tls.Certificate{PrivateKey: key}
	for _, one := range append([]*x509.Certificate{leaf}, chain...) {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	return []tls.Certificate{c}, nil
}

func optional(s Secret) (string, error) {
	if s.IsZero() {
		return "", nil
	}
	return s.Read()
}

// jks begins a store of Java's old format.
var jks = []byte{0xFE, 0xED, 0xFE, 0xED}

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

// checkStore refuses files that are no PKCS#12 store. One is a sequence in ASN.1.
func checkStore(path string, data []byte) error {
	switch {
	case bytes.HasPrefix(data, jks):
		return fmt.Errorf("%s is a store of the old Java format JKS: make it a PKCS#12 store (keytool -importkeystore -srckeystore %s -destkeystore NEW.p12 -deststoretype PKCS12)", path, path)
	case len(data) == 0:
		return fmt.Errorf("%s is empty", path)
	case data[0] != 0x30:
		return fmt.Errorf("%s is neither PEM nor a PKCS#12 store", path)
	}
	return nil
}

// isEncrypted says whether a PEM text has an encrypted private key.
func isEncrypted(data []byte) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// IsCertificateError says whether err means that one side did not accept the certificate of the other.
func IsCertificateError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	// What the broker says of the client's. crypto/tls has no name for it: the alerts from bad_certificate to unknown_ca, and
	// certificate_required (RFC 8446, 6.2), have this word in common.
	remote, ok := errors.AsType[*net.OpError](err)
	return ok && remote.Op == "remote error" && strings.Contains(remote.Err.Error(), "certificate")
}
