package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file keeps a second process on a host from fencing the first where nobody has given them names: both would be called by the host's, and
// the brokers take the newer one for the older one come back. That is right after a crash, and wrong while the older one lives.
//
// Whether it lives only the host's kernel knows for certain: it frees the lock of a file as soon as the process is dead, however it died, and
// whatever process ids a container sees. A container without the other's temporary directory takes no part in it, and is told apart by its host
// name. An id that was given is taken as it is: a supervisor that moves a pipe from here to there wants the fence.

// holdPatience is how long to wait for the other process: it may be one that drains, of which this one is the restart.
const holdPatience = processor.DefaultDrainTimeout + 12*time.Second

// hold takes a transactional id that is made of the host's name for this process, until release is called or the process is dead. An error says that
// another process on this host has it. Where no file can be locked it goes on without.
func (c *connection) hold(ctx context.Context, s streams, transactionalID string) (release func(), err error) {
	cl, err := c.client(ctx, s.Log)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	id := ""
	err = settled(ctx, s.Log, "the cluster's id", func(ctx context.Context) (err error) {
		id, err = cluster.New(cl, cluster.Patience{}).ID(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return holdFile(ctx, s.Log, holdPath(os.TempDir(), id, transactionalID), transactionalID)
}

// holdPath is the file whose lock says that the id is held in this cluster.
func holdPath(dir, cluster, transactionalID string) string {
	sum := sha256.Sum256([]byte(cluster + "\x00" + transactionalID))
	return filepath.Join(dir, "eos-pipe-"+hex.EncodeToString(sum[:16])+".lock")
}

// holdFile locks the file. It stays when it is released: to remove it could take it from a process that has just opened it.
func holdFile(ctx context.Context, log *slog.Logger, path, transactionalID string) (release func(), err error) {
	lock := flock.New(path)
	ctx, cancel := context.WithTimeout(ctx, holdPatience)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for said := false; ; {
		locked, err := lock.TryLock()
		switch {
		case err != nil:
			log.Info("cannot lock a file, so a second process on this host without an --instance-id would fence this one", "file", path, "err", err)
			return func() {}, nil
		case locked:
			log.Debug("the host's name is this process's instance id", "file", path)
			return func() { _ = lock.Close() }, nil // what is not unlocked here is so when the process ends
		case !said:
			said = true
			log.Warn("another process on this host has the same transactional id; waiting for it to end. To run both, give each its own --instance-id",
				"transactional_id", transactionalID, "file", path)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, &exitError{
				exitFenced, errors.New("another process on this host runs with transactional id " + transactionalID + " and continues; nothing was started"),
				"give this process its own --instance-id (EOS_PIPE_INSTANCE_ID) that stays the same over restarts, or stop the other process",
			}
		}
	}
}
