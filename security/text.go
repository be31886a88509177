package security

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// bom is the byte order mark that Windows' editors and shells write in front of a text; where texts are put together, also in between.
var bom = []byte("\xEF\xBB\xBF")

// errUTF16 is what is wrong with a text as PowerShell's > writes it.
var errUTF16 = errors.New("it is UTF-16 text, as Windows' shells write it: save it as UTF-8")

// plainText returns a text without a byte order mark in front of it.
func plainText(text []byte) ([]byte, error) {
	if bytes.HasPrefix(text, []byte{0xFF, 0xFE}) || bytes.HasPrefix(text, []byte{0xFE, 0xFF}) && !bytes.HasPrefix(text, jks) {
		return nil, errUTF16
	}
	return bytes.TrimPrefix(text, bom), nil
}

// readFile returns the content of a file: PEM without byte order marks anywhere, of which each would hide the block behind it; a store as it is.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if data, err = plainText(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if isPEM(data) {
		data = bytes.ReplaceAll(data, bom, nil)
	}
	return data, nil
}

// parseCertificates returns all certificates of a PEM text. One that cannot be read is an error: it would be an authority that is not trusted.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	begin := []byte("-----BEGIN CERTIFICATE-----")
	announced := bytes.Count(text, begin)
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d cannot be read: %w", len(certs)+1, announced, err)
		}
		certs = append(certs, c)
	}
	if len(certs) != announced {
		return nil, fmt.Errorf("%d certificates begin there, but only %d can be read: each needs its lines from BEGIN to END for itself", announced, len(certs))
	}
	return certs, nil
}
