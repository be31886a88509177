package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/processor"
)

// firstPause is how long to wait before a question is asked again; the pause doubles from try to try.
const firstPause = 100 * time.Millisecond

// ask puts one question to the registry, several times where that may help.
func ask[V any](r *Registry, question func(context.Context) (V, error)) (V, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		v, err := once(r.timeout, question)
		verdict := judge(err)
		switch {
		case err == nil:
			return v, nil
		case verdict == final:
			return v, err
		case verdict == refused, attempt == r.attempts:
			return v, processor.Transient(fmt.Errorf("the schema registry is not available, which is no fault of the record (tries: %d); see to the registry, its URL and its credentials: %w",
				attempt, err))
		}
		<-time.After(pause)
		pause *= 2
	}
}

func once[V any](timeout time.Duration, question func(context.Context) (V, error)) (V, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	v, err := question(ctx)
	if response, ok := errors.AsType[*sr.ResponseError](err); ok {
		err = fmt.Errorf("%s %s: status %d, error code %d: %w", response.Method, response.URL, response.StatusCode, response.ErrorCode, err)
	}
	return v, err
}

// verdict is what an error means for the question.
type verdict int

const (
	final   verdict = iota // the registry has answered, and will answer the same again
	refused                // no answer, and asking again at once will not help: credentials, or something that is no registry
	passing                // no answer, but perhaps the next time
)

// judge is the one table from errors to verdicts. A 404 is an answer only with one of the registry's own codes: a proxy
// or a wrong URL says 404 too, and must not make good records look bad.
func judge(err error) verdict {
	response, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		return passing // no connection, no answer in time, or an answer cut short
	}
	switch code := response.StatusCode; {
	case code == http.StatusNotFound && response.ErrorCode/100 == http.StatusNotFound:
		return final // 40401 no subject, 40402 no version, 40403 no schema
	case code == http.StatusConflict, code == http.StatusUnprocessableEntity:
		return final // incompatible; invalid
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return passing
	}
	return refused
}
