package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/filecoin-project/dagstore"
)

// crowd does work for the numbers below count, so many at a time.
func crowd(count, tasks int, work func(int) error) error {
	var next atomic.Int64
	done := make(chan error, tasks)
	for range tasks {
		go func() {
			for {
				number := int(next.Add(1)) - 1
				if number >= count {
					done <- nil
					return
				}
				if err := work(number); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	var all error
	for range tasks {
		all = errors.Join(all, <-done)
	}
	return all
}

// record is what the original persists of shard number when it was registered lazily.
func record(number int) dagstore.PersistedShard {
	return dagstore.PersistedShard{Key: key(number), URL: letters("local://here/", number, 80), Lazy: true}
}

func codecs(it job) error {
	const times = 50_000
	shard := record(7)
	encoded, err := json.Marshal(shard)
	if err != nil {
		return err
	}
	nanoseconds := func(work func() error) func() (float64, error) {
		return func() (float64, error) {
			seconds, err := timed(func() error {
				for range times {
					if err := work(); err != nil {
						return err
					}
				}
				return nil
			})
			return seconds * 1e9 / times, err
		}
	}
	return errors.Join(
		tell("bytes", []float64{float64(len(encoded))}),
		it.figure("encode", nanoseconds(func() error {
			_, err := json.Marshal(shard)
			return err
		})),
		it.figure("decode", nanoseconds(func() error {
			var decoded dagstore.PersistedShard
			return json.Unmarshal(encoded, &decoded)
		})),
	)
}

func register(it job) error {
	for _, tasks := range []int{1, 64, 1024} {
		run := 0
		count := min(it.count, 1000*tasks)
		err := it.figure(fmt.Sprintf("%d in flight", tasks), func() (float64, error) {
			run++
			s, err := openStore(filepath.Join(it.dir, fmt.Sprintf("register-%d-%d", tasks, run)))
			if err != nil {
				return 0, err
			}
			seconds, err := timed(func() error {
				return crowd(count, tasks, func(number int) error {
					return s.register(key(number), &localMount{path: "/srv/cars/" + key(number)}, true)
				})
			})
			return float64(count) / seconds, errors.Join(err, s.close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oneShard is a store with one small shard, Available.
func oneShard(dir string) (*store, error) {
	car, err := writeCar(filepath.Join(dir, "small.car"), 1<<10, 64)
	if err != nil {
		return nil, err
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	return s, s.register(key(0), &localMount{path: car.path}, false)
}

func transitions(it job) error {
	s, err := oneShard(it.dir)
	if err != nil {
		return err
	}
	for _, tasks := range []int{1, 16, 256} {
		err = errors.Join(err, it.figure(fmt.Sprintf("%d tasks", tasks), func() (float64, error) {
			var pairs atomic.Int64
			start := time.Now()
			end := start.Add(400 * time.Millisecond)
			err := crowd(tasks, tasks, func(int) error {
				for time.Now().Before(end) {
					accessor, err := s.acquire(key(0))
					if err != nil {
						return err
					}
					if err := accessor.Close(); err != nil {
						return err
					}
					pairs.Add(1)
				}
				return nil
			})
			rate := float64(pairs.Load()) / time.Since(start).Seconds()
			return rate, errors.Join(err, s.settle(key(0)))
		}))
	}
	return errors.Join(err, s.close())
}

// idleShards makes a store with shards that are Available and have index files, all but the first without a source.
func idleShards(dir string, count int) error {
	s, err := oneShard(dir)
	if err == nil {
		err = errors.Join(s.settle(key(0)), s.close())
	}
	if err != nil {
		return err
	}
	level, err := openLevel(filepath.Join(dir, "datastore"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	batch, err := level.Batch(ctx)
	if err != nil {
		return err
	}
	indexFile := func(number int) string { return filepath.Join(dir, "index", key(number)+".full.idx") }
	content, err := os.ReadFile(indexFile(0))
	if err != nil {
		return err
	}
	for number := 1; number < count; number++ {
		shard := record(number)
		shard.State = dagstore.ShardStateAvailable
		row, err := json.Marshal(shard)
		if err == nil {
			err = errors.Join(batch.Put(ctx, rowKey(key(number)), row), os.WriteFile(indexFile(number), content, 0o644))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(batch.Commit(ctx), level.Close())
}

func restart(it job) error {
	if err := idleShards(it.dir, it.count); err != nil {
		return err
	}
	open := func() (float64, error) {
		var s *store
		seconds, err := timed(func() (err error) {
			if s, err = openStore(it.dir); err != nil {
				return err
			}
			accessor, err := s.acquire(key(0))
			if err != nil {
				return err
			}
			return accessor.Close()
		})
		if err != nil {
			return 0, err
		}
		if known := len(s.dags.AllShardsInfo()); known != it.count {
			return 0, fmt.Errorf("the store has %d shards instead of %d", known, it.count)
		}
		return seconds, errors.Join(s.settle(key(0)), s.close())
	}
	// The first opening moves what is only in the log into tables.
	if _, err := open(); err != nil {
		return err
	}
	return it.figure("first acquire", open)
}

func collect(it job) error {
	if err := idleShards(it.dir, it.count); err != nil {
		return err
	}
	s, err := openStore(it.dir)
	if err != nil {
		return err
	}
	err = it.figure("one collection", func() (float64, error) {
		return timed(func() error {
			_, err := s.dags.GC(context.Background())
			return err
		})
	})
	return errors.Join(err, s.close())
}
