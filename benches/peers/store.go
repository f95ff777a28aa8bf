package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/filecoin-project/dagstore"
	"github.com/filecoin-project/dagstore/index"
	"github.com/filecoin-project/dagstore/mount"
	"github.com/filecoin-project/dagstore/shard"
	datastore "github.com/ipfs/go-datastore"
	leveldb "github.com/ipfs/go-ds-leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// localMount is a file on this machine with random access. The original's own doesn't survive a restart.
type localMount struct{ path string }

func (m *localMount) Fetch(context.Context) (mount.Reader, error) { return os.Open(m.path) }
func (m *localMount) Info() mount.Info {
	return mount.Info{Kind: mount.KindLocal, AccessSequential: true, AccessSeek: true, AccessRandom: true}
}
func (m *localMount) Stat(context.Context) (mount.Stat, error) {
	info, err := os.Stat(m.path)
	if err != nil {
		return mount.Stat{}, err
	}
	return mount.Stat{Exists: true, Ready: true, Size: info.Size()}, nil
}
func (m *localMount) Serialize() *url.URL             { return &url.URL{Host: "here", Path: m.path} }
func (m *localMount) Deserialize(from *url.URL) error { m.path = from.Path; return nil }
func (m *localMount) Close() error                    { return nil }

// webMount is a source behind HTTP that is read from its beginning.
type webMount struct{ address string }

func (m *webMount) Fetch(ctx context.Context) (mount.Reader, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the server answered %s", response.Status), response.Body.Close())
	}
	return stream{response.Body}, nil
}
func (m *webMount) Info() mount.Info {
	return mount.Info{Kind: mount.KindRemote, AccessSequential: true}
}
func (m *webMount) Stat(context.Context) (mount.Stat, error) {
	response, err := http.Head(m.address)
	if err != nil {
		return mount.Stat{}, err
	}
	return mount.Stat{Exists: true, Ready: true, Size: response.ContentLength}, response.Body.Close()
}
func (m *webMount) Serialize() *url.URL {
	address, err := url.Parse(m.address)
	if err != nil {
		return &url.URL{}
	}
	return address
}
func (m *webMount) Deserialize(from *url.URL) error {
	m.address = "http://" + from.Host + from.Path
	return nil
}
func (m *webMount) Close() error { return nil }

// stream can't be read anywhere but at its place.
type stream struct{ io.ReadCloser }

func (stream) ReadAt([]byte, int64) (int, error) { return 0, mount.ErrRandomAccessUnsupported }
func (stream) Seek(int64, int) (int64, error)    { return 0, mount.ErrSeekUnsupported }

// openLevel opens LevelDB as Lotus did: no compression, each write synced, everything checked.
func openLevel(dir string) (*leveldb.Datastore, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return leveldb.NewDatastore(dir, &leveldb.Options{Compression: opt.NoCompression, Strict: opt.StrictAll})
}

// store is a DAG store in a folder, over LevelDB.
type store struct {
	dags  *dagstore.DAGStore
	level *leveldb.Datastore
	index *index.FSIndexRepo
}

func openStore(dir string) (*store, error) {
	level, err := openLevel(filepath.Join(dir, "datastore"))
	if err != nil {
		return nil, err
	}
	repo, err := index.NewFSRepo(filepath.Join(dir, "index"))
	if err != nil {
		return nil, err
	}
	mounts := mount.NewRegistry()
	if err := errors.Join(mounts.Register("local", &localMount{}), mounts.Register("web", &webMount{})); err != nil {
		return nil, err
	}
	dags, err := dagstore.NewDAGStore(dagstore.Config{
		TransientsDir: filepath.Join(dir, "transients"),
		IndexRepo:     repo,
		TopLevelIndex: index.NewInverted(level),
		Datastore:     level,
		MountRegistry: mounts,
	})
	if err != nil {
		return nil, err
	}
	return &store{dags, level, repo}, dags.Start(context.Background())
}

func (s *store) close() error { return errors.Join(s.dags.Close(), s.level.Close()) }

// register returns when the store has answered.
func (s *store) register(key string, from mount.Mount, lazy bool) error {
	answer := make(chan dagstore.ShardResult, 1)
	opts := dagstore.RegisterOpts{LazyInitialization: lazy}
	if err := s.dags.RegisterShard(context.Background(), shard.KeyFromString(key), from, answer, opts); err != nil {
		return err
	}
	return (<-answer).Error
}

func (s *store) acquire(key string) (*dagstore.ShardAccessor, error) {
	answer := make(chan dagstore.ShardResult, 1)
	if err := s.dags.AcquireShard(context.Background(), shard.KeyFromString(key), answer, dagstore.AcquireOpts{}); err != nil {
		return nil, err
	}
	result := <-answer
	return result.Accessor, result.Error
}

// settle waits until nobody has the shard open and nothing of it is on its way.
func (s *store) settle(key string) error {
	for {
		info, err := s.dags.GetShardInfo(shard.KeyFromString(key))
		if err != nil || info.ShardState == dagstore.ShardStateAvailable {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// rowKey is where LevelDB has the record of a shard.
func rowKey(key string) datastore.Key { return datastore.NewKey("/dagstore/" + key) }
