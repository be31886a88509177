package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// errClosed is how a broker refuses a version that it does not offer, and a batch with acks=0.
var errClosed = errors.New("the broker closed the connection")

var errShort = errors.New("the answer leaves something out that was asked for")

// answerTimeout bounds a request: a JoinGroup waits for other members, everything else takes milliseconds.
const answerTimeout = 30 * time.Second

// conn is a connection with one request at a time. It is dialed when it is needed, and again after the broker closed it.
type conn struct {
	address string
	format  *kmsg.RequestFormatter
	net     net.Conn
	last    int32 // correlation id
}

func newConn(address, clientID string) *conn {
	return &conn{address: address, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}
}

func (c *conn) close() {
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
	}
}

// ask sends a request as it is, its version included, and reads the answer. errClosed says that the broker closed the
// connection instead; after any error the next request gets a new connection.
func (c *conn) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if err := c.send(ctx, req); err != nil {
		return nil, c.broken(req, err)
	}
	body, err := c.receive()
	if err != nil {
		return nil, c.broken(req, err)
	}
	resp := req.ResponseKind()
	if body, err = withoutHeader(body, req); err == nil {
		err = resp.ReadFrom(body)
	}
	if err != nil {
		return nil, c.broken(req, err)
	}
	return resp, nil
}

func (c *conn) send(ctx context.Context, req kmsg.Request) error {
	if c.net == nil {
		var d net.Dialer
		dialed, err := d.DialContext(ctx, "tcp", c.address)
		if err != nil {
			return err
		}
		c.net = dialed
	}
	deadline := time.Now().Add(answerTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.net.SetDeadline(deadline); err != nil {
		return err
	}
	c.last++
	_, err := c.net.Write(c.format.AppendRequest(nil, req, c.last))
	return err
}

// receive reads one frame and takes its correlation id off.
func (c *conn) receive() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.net, head[:]); err != nil {
		return nil, err
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != c.last {
		return nil, fmt.Errorf("the answer has correlation id %d, not %d", id, c.last)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:4])-4)
	_, err := io.ReadFull(c.net, body)
	return body, err
}

// withoutHeader takes off the tags of the header, which flexible answers have; that of ApiVersions never has.
func withoutHeader(body []byte, req kmsg.Request) ([]byte, error) {
	if !req.IsFlexible() || req.Key() == int16(kmsg.ApiVersions) {
		return body, nil
	}
	tags, n := binary.Uvarint(body)
	if n <= 0 || tags != 0 {
		return nil, errors.New("the header of the answer has tags, or none of its own")
	}
	return body[n:], nil
}

// broken drops the connection.
func (c *conn) broken(req kmsg.Request, err error) error {
	c.close()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return errClosed
	}
	return fmt.Errorf("%s v%d: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
}
