package registry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
)

const order = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}`

// served gives answers by a handler that is called without a network, so that time in a synctest bubble is virtual.
type served struct{ handler http.Handler }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { defer close(done); s.handler.ServeHTTP(w, r) }()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func inMemory(h http.HandlerFunc) sr.ClientOpt {
	return sr.HTTPClient(&http.Client{Transport: served{h}})
}

func open(t *testing.T, cfg registry.Config) *registry.Registry {
	t.Helper()
	r, err := registry.New(cfg)
	require.NoError(t, err)
	return r
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// Which answers are about the record, which say that the registry is not available, and which are asked for again.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name        string
		handler     http.HandlerFunc
		unavailable bool
		requests    int32
	}{
		{"unknown schema", answer(404, `{"error_code":40403,"message":"Schema 7 not found"}`), false, 1},
		{"unknown subject", answer(404, `{"error_code":40401,"message":"Subject not found"}`), false, 1},
		{"incompatible", answer(409, `{"error_code":409,"message":"incompatible"}`), false, 1},
		{"invalid", answer(422, `{"error_code":42201,"message":"invalid schema"}`), false, 1},
		{"no registry at that URL", answer(404, `<html>not found</html>`), true, 1},
		{"wrong path", answer(404, `{"error_code":404,"message":"HTTP 404 Not Found"}`), true, 1},
		{"not authenticated", answer(401, `{"error_code":40101,"message":"Unauthorized"}`), true, 1},
		{"not authorized", answer(403, `{"error_code":40301,"message":"Forbidden"}`), true, 1},
		{"bad request", answer(400, `?`), true, 1},
		{"too many requests", answer(429, ``), true, 3},
		{"no leader", answer(500, `{"error_code":50003,"message":"error forwarding the request to the primary"}`), true, 3},
		{"gateway", answer(502, `<html>bad gateway</html>`), true, 3},
		{"starting", answer(503, ``), true, 3},
		{"no JSON", answer(200, `<html>welcome</html>`), true, 3},
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				r := open(t, registry.Config{Client: []sr.ClientOpt{inMemory(func(w http.ResponseWriter, req *http.Request) {
					requests.Add(1)
					c.handler(w, req)
				})}})
				began := time.Now()
				_, err := r.Schema(7)
				require.Error(t, err)
				require.ErrorContains(t, err, "schema id 7")
				require.NotContains(t, err.Error(), "\n")
				if c.unavailable {
					require.ErrorIs(t, err, processor.ErrTransient)
				} else {
					require.NotErrorIs(t, err, processor.ErrTransient)
				}
				require.Equal(t, c.requests, requests.Load())
				require.LessOrEqual(t, time.Since(began), 3*5*time.Second+time.Second, "the time for all tries is bounded")

				_, err = r.Schema(7)
				require.Error(t, err)
				require.Equal(t, 2*c.requests, requests.Load(), "a failure is not kept")
			})
		})
	}
}

// A registry that comes back during the tries, and one that comes back later, is asked again; what it said is kept.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		fake := srfake.NewRegistry()
		fake.SeedSchema("orders-value", 1, 7, sr.Schema{Schema: order})
		r := open(t, registry.Config{Client: []sr.ClientOpt{inMemory(func(w http.ResponseWriter, req *http.Request) {
			if requests.Add(1) <= 4 {
				answer(503, "starting")(w, req)
				return
			}
			fake.Handler().ServeHTTP(w, req)
		})}})
		_, err := r.Schema(7)
		require.ErrorIs(t, err, processor.ErrTransient)
		s, err := r.Schema(7)
		require.NoError(t, err, "the second try of the second call")
		require.Equal(t, order, s.Schema.Schema)
		require.EqualValues(t, 5, requests.Load())
		_, err = r.Schema(7)
		require.NoError(t, err)
		require.EqualValues(t, 5, requests.Load(), "it is kept")
	})
}

// Where nothing listens, the registry is not available.
func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	r := open(t, registry.Config{URLs: []string{url}, Attempts: 1})
	_, err = r.Schema(7)
	require.ErrorIs(t, err, processor.ErrTransient)
	require.ErrorContains(t, err, url)
	_, err = r.Writer("orders-value", true, func() (sr.Schema, error) { return sr.Schema{Schema: order}, nil }).ID()
	require.ErrorIs(t, err, processor.ErrTransient)
	require.ErrorContains(t, err, "register the AVRO schema in subject orders-value")
}

// The next URL is asked where the first does not answer.
func TestSecondURL(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("orders-value", 1, 7, sr.Schema{Schema: order})
	r := open(t, registry.Config{URLs: []string{"http://127.0.0.1:1", fake.URL()}, Attempts: 1})
	_, err := r.Schema(7)
	require.NoError(t, err)
}

// Basic authentication and TLS come by the client's options; without them there is no answer.
func TestAuthAndTLS(t *testing.T) {
	fake := srfake.NewRegistry(srfake.WithAuth("Basic dXNlcjpzZWNyZXQ=")) // user:secret
	fake.SeedSchema("orders-value", 1, 7, sr.Schema{Schema: order})
	server := httptest.NewTLSServer(fake.Handler())
	defer server.Close()
	server.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusted := sr.DialTLSConfig(&tls.Config{RootCAs: roots})

	for name, c := range map[string]struct {
		opts []sr.ClientOpt
		ok   bool
	}{
		"both":           {[]sr.ClientOpt{trusted, sr.BasicAuth("user", "secret")}, true},
		"no password":    {[]sr.ClientOpt{trusted}, false},
		"wrong password": {[]sr.ClientOpt{trusted, sr.BasicAuth("user", "guess")}, false},
	} {
		r := open(t, registry.Config{URLs: []string{server.URL}, Client: c.opts, Attempts: 1})
		_, err := r.Schema(7)
		if c.ok {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, processor.ErrTransient, name)
		require.NotContains(t, err.Error(), "guess", name)
	}
}

// However many goroutines meet an id first, it is one request.
func TestOneRequestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		fake.SeedSchema("orders-value", 1, 7, sr.Schema{Schema: order})
		var requests atomic.Int32
		release := make(chan struct{})
		r := open(t, registry.Config{Client: []sr.ClientOpt{inMemory(func(w http.ResponseWriter, req *http.Request) {
			requests.Add(1)
			<-release
			fake.Handler().ServeHTTP(w, req)
		})}})
		w := r.Writer("orders-value", false, func() (sr.Schema, error) { return sr.Schema{Schema: order}, nil })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { _, err := r.Schema(7); require.NoError(t, err) })
			wg.Go(func() {
				id, err := w.ID()
				require.NoError(t, err)
				require.Equal(t, 7, id)
			})
		}
		synctest.Wait()
		require.EqualValues(t, 2, requests.Load(), "one for the id, one for the subject")
		close(release)
		wg.Wait()
		require.EqualValues(t, 2, requests.Load())
	})
}

// Without registering, a schema must stand in its subject, and the error says what to do; with it, it is there afterwards.
func TestWriter(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	r := open(t, registry.Config{URLs: []string{fake.URL()}})
	schema := func() (sr.Schema, error) { return sr.Schema{Schema: order}, nil }
	subject := registry.Subject("orders")
	require.Equal(t, "orders-value", subject)

	looking := r.Writer(subject, false, schema)
	_, err := looking.ID()
	require.ErrorContains(t, err, "orders-value")
	require.ErrorContains(t, err, "set AutoRegister")
	require.NotErrorIs(t, err, processor.ErrTransient)
	require.False(t, fake.SubjectExists(subject), "to look is not to register")

	id, err := r.Writer(subject, true, schema).ID()
	require.NoError(t, err)
	again, err := r.Writer(subject, true, schema).ID()
	require.NoError(t, err)
	require.Equal(t, id, again, "to register again changes nothing")
	found, err := looking.ID()
	require.NoError(t, err, "a failure is not kept")
	require.Equal(t, id, found)

	_, err = r.Writer("", true, schema).ID()
	require.ErrorContains(t, err, "can only read")
}

// The registry refuses an incompatible schema: an error about the schema, not about the registry.
func TestWriterIncompatible(t *testing.T) {
	r := open(t, registry.Config{Client: []sr.ClientOpt{inMemory(answer(409, `{"error_code":409,"message":"reader field id has no default"}`))}})
	_, err := r.Writer("orders-value", true, func() (sr.Schema, error) { return sr.Schema{Schema: order}, nil }).ID()
	require.ErrorContains(t, err, "reader field id has no default")
	require.NotErrorIs(t, err, processor.ErrTransient)
}

// References are read through to the end, each before those that need it, and once where two need the same.
func TestImports(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	ref := func(name string) sr.SchemaReference {
		return sr.SchemaReference{Name: name, Subject: name, Version: 1}
	}
	fake.SeedSchema("D", 1, 1, sr.Schema{Schema: `{"type":"record","name":"D","fields":[]}`})
	fake.SeedSchema("B", 1, 2, sr.Schema{Schema: `{"type":"record","name":"B","fields":[{"name":"d","type":"D"}]}`, References: []sr.SchemaReference{ref("D")}})
	fake.SeedSchema("C", 1, 3, sr.Schema{Schema: `{"type":"record","name":"C","fields":[{"name":"d","type":"D"}]}`, References: []sr.SchemaReference{ref("D")}})
	fake.SeedSchema("A", 1, 4, sr.Schema{Schema: `{"type":"record","name":"A","fields":[{"name":"b","type":"B"},{"name":"c","type":"C"}]}`, References: []sr.SchemaReference{ref("B"), ref("C")}})
	s, err := open(t, registry.Config{URLs: []string{fake.URL()}}).Schema(4)
	require.NoError(t, err)
	var names []string
	for _, i := range s.Imports {
		names = append(names, i.Name)
	}
	require.Equal(t, "D B C", strings.Join(names, " "))
}

// All that is wrong with a configuration is said at once.
func TestConfig(t *testing.T) {
	_, err := registry.New(registry.Config{RequestTimeout: -1, Attempts: -1, Client: []sr.ClientOpt{sr.HTTPClient(nil)}})
	require.ErrorContains(t, err, "RequestTimeout")
	require.ErrorContains(t, err, "Attempts")
	require.ErrorContains(t, err, "http client")
	urls := []string{"localhost:8081"}
	open(t, registry.Config{URLs: urls})
	require.Equal(t, []string{"localhost:8081"}, urls, "what the caller gave is not changed")
}

// The wire format, byte by byte, as Confluent's documentation has it: zero, id in four bytes, then for Protobuf the number of
// indexes and the indexes as zigzag varints, with one zero byte for the first message of a file.
func TestWireFormat(t *testing.T) {
	require.Equal(t, []byte{0, 0, 0, 0, 1}, registry.Header(1))
	require.Equal(t, []byte{0, 0x12, 0x34, 0x56, 0x78}, registry.Header(0x12345678))
	for _, c := range []struct {
		indexes []int
		wire    []byte
	}{
		{[]int{0}, []byte{0}},
		{[]int{1}, []byte{2, 2}},
		{[]int{1, 0}, []byte{4, 2, 0}},
		{[]int{2, 1}, []byte{4, 4, 2}},
		{[]int{100}, []byte{2, 0xc8, 1}},
	} {
		full := registry.Header(7, c.indexes...)
		require.Equal(t, append([]byte{0, 0, 0, 0, 7}, c.wire...), full)
		id, rest, err := registry.Split(append(full, "rest"...))
		require.NoError(t, err)
		require.Equal(t, 7, id)
		indexes, rest, err := registry.SplitIndexes(rest)
		require.NoError(t, err)
		require.Equal(t, c.indexes, indexes)
		require.Equal(t, "rest", string(rest))
	}
	long, _, err := registry.SplitIndexes([]byte{2, 0, 'x'})
	require.NoError(t, err)
	require.Equal(t, []int{0}, long, "the first message may be written in full")
}

// Values that are no values of a schema registry, or are cut or damaged, are errors; a huge number of indexes takes no memory.
func TestWireFormatDamaged(t *testing.T) {
	for _, bad := range [][]byte{{}, {0}, {0, 0, 0, 1}, {1, 0, 0, 0, 1, 'x'}, []byte(`{"id":1}`)} {
		_, _, err := registry.Split(bad)
		require.ErrorContains(t, err, "magic byte")
	}
	for _, bad := range [][]byte{{}, {2}, {1}, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0xff}} {
		_, _, err := registry.SplitIndexes(bad)
		require.ErrorContains(t, err, "message indexes")
	}
}

// The deadline of a request is the registry's own, also where the user's HTTP client has none.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registry.Config{RequestTimeout: time.Second, Attempts: 2, Client: []sr.ClientOpt{
			inMemory(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }),
		}})
		began := time.Now()
		_, err := r.Schema(1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second+100*time.Millisecond, time.Since(began))
	})
}
