package processor

import "errors"

// ErrUnavailable is wrapped by the error of a [Codec] that could not ask what it depends on, such as a schema registry
// that is down or refuses the credentials. Nothing is known to be wrong with the record then: it may be read or written
// when the other side is back, so such an error is never a reason to give the record up. Ask with errors.Is.
//
// Every other error of a codec is about the record: to try again would not help.
var ErrUnavailable = errors.New("not available")
