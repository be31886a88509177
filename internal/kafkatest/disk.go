package kafkatest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Disk is a small file system of a test's own, in memory, that the test can fill up. To mount it needs root, or sudo
// without a password, as the packages that Kafka runs on do.
type Disk struct{ dir string }

// NewDisk makes a disk of so many megabytes, which is removed when the test ends. Take it before the cluster that lies on it.
func NewDisk(t testing.TB, megabytes int) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("eos-pipe-test-%d-disk-", os.Getpid())) //nolint:usetesting // docker/kafka/sweep must see whose it is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// Anybody may write: in a container the broker is a user of its own.
	if err := asRoot("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=777", megabytes), "tmpfs", dir); err != nil {
		t.Fatalf("a small disk cannot be had: %v", err)
	}
	t.Cleanup(func() {
		if err := asRoot("umount", dir); err != nil {
			t.Errorf("the test's disk is not removed: %v", err)
		}
	})
	return &Disk{dir: dir}
}

// Segment returns the file in which the broker on this disk keeps the first segment of a partition's log. The broker must
// be down while it is read or changed.
func (d *Disk) Segment(t testing.TB, topic string, partition int32) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(d.dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(filepath.Dir(path)) == fmt.Sprintf("%s-%d", topic, partition) && filepath.Base(path) == "00000000000000000000.log" {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("the log of %s-%d is not found on the disk: %v", topic, partition, err)
	}
	return found
}

// Fill writes to the disk until it is full.
func (d *Disk) Fill(t testing.TB) {
	t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not get full: %v", err)
	}
}

// Free gives back what Fill took.
func (d *Disk) Free(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}

func (d *Disk) filler() string { return filepath.Join(d.dir, "filler") }

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// asRoot runs a command as root, like the function of this name in docker/kafka/lib.sh.
func asRoot(args ...string) error {
	if os.Geteuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
