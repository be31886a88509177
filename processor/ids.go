package processor

import (
	"fmt"
	"os"
)

// TransactionalIDs returns the transactional ids of c's lanes, in the order of the lanes, with the defaults of c filled
// in. c must name an application, or the prefix of the ids. A lane keeps its id over restarts: by it a new process
// fences its dead predecessor at once. The error says that c leaves the instance id to the host's name, and that this
// is not known.
func (c Config) TransactionalIDs() ([]string, error) {
	c, err := c.withIDs()
	if err != nil {
		return nil, err
	}
	ids := make([]string, max(c.Lanes, 1))
	for i := range ids {
		ids[i] = c.laneID(i)
	}
	return ids, nil
}

// laneID returns the transactional id of lane i, counted from 0. The ids of c are filled in.
func (c Config) laneID(i int) string { return fmt.Sprintf("%s-%d", c.TransactionalID, i) }

// withIDs returns c with the defaults of its ids filled in.
func (c Config) withIDs() (Config, error) {
	if c.InstanceID == "" {
		c.InstanceID = os.Getenv(InstanceIDEnv)
	}
	if c.InstanceID == "" && c.TransactionalID == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("the host has no name to take for the instance id (%w): set InstanceID or $%s", err, InstanceIDEnv)
		}
		c.InstanceID = host
	}
	if c.Group == "" {
		c.Group = c.ApplicationID
	}
	if c.TransactionalID == "" && c.ApplicationID != "" {
		c.TransactionalID = c.ApplicationID + "-" + c.InstanceID
	}
	return c, nil
}
