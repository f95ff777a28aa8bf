package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	repo "github.com/filecoin-project/dagstore/index"
	"github.com/filecoin-project/dagstore/shard"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/index"
	"github.com/multiformats/go-multihash"
)

func indexBuild(it job) error {
	for _, kib := range []int{1, 256, 1024} {
		car, err := writeCar(filepath.Join(it.dir, "build.car"), kib<<10, it.mib<<10/kib)
		if err != nil {
			return err
		}
		err = errors.Join(
			it.figure(fmt.Sprintf("%d KiB, unchecked", kib), func() (float64, error) {
				seconds, err := generate(car.path)
				return seconds * 1e3, err
			}),
			it.figure(fmt.Sprintf("%d KiB, hashed", kib), func() (float64, error) {
				seconds, err := verify(car)
				return float64(it.mib) * (1 << 20) / 1e9 / seconds, err
			}),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// generate makes the index of a CAR, as the original does.
func generate(path string) (float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return timed(func() error {
		_, err := car.ReadOrGenerateIndex(file, indexOptions...)
		return err
	})
}

// verify reads every block and compares its hash.
func verify(made made) (float64, error) {
	file, err := os.Open(made.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return timed(func() error {
		blocks, err := car.NewBlockReader(file)
		if err != nil {
			return err
		}
		seen := 0
		for ; ; seen++ {
			if _, err = blocks.Next(); err != nil {
				break
			}
		}
		if err != io.EOF || seen != len(made.cids) {
			return fmt.Errorf("%d of %d blocks: %w", seen, len(made.cids), err)
		}
		return nil
	})
}

// numbered is the CID whose digest is that of a number.
func numbered(number int) (cid.Cid, error) {
	digest, err := multihash.Sum(fmt.Appendf(nil, "%d", number), multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, digest), err
}

func indexOpen(it job) error {
	const asked = 100_000
	indices, err := repo.NewFSRepo(filepath.Join(it.dir, "index"))
	if err != nil {
		return err
	}
	name := shard.KeyFromString("index")
	records := make([]index.Record, it.count)
	for number := range records {
		id, err := numbered(number)
		if err != nil {
			return err
		}
		records[number] = index.Record{Cid: id, Offset: uint64(number) * 1100}
	}
	written := index.NewMultihashSorted()
	if err := written.Load(records); err != nil {
		return err
	}
	if err := indices.AddFullIndex(name, written); err != nil {
		return err
	}
	var opened index.Index
	err = it.figure("open", func() (float64, error) {
		seconds, err := timed(func() (err error) {
			opened, err = indices.GetFullIndex(name)
			return err
		})
		return seconds * 1e6, err
	})
	if err != nil {
		return err
	}
	return it.figure("present", func() (float64, error) {
		seconds, err := timed(func() error {
			for number := range asked {
				at := int(mix(uint64(number)) % uint64(len(records)))
				if _, err := index.GetFirst(opened, records[at].Cid); err != nil {
					return err
				}
			}
			return nil
		})
		return seconds * 1e6 / asked, err
	})
}

func blockRead(it job) error {
	for _, kib := range []int{1, 256} {
		if err := blocksOf(it, kib); err != nil {
			return err
		}
	}
	return nil
}

func blocksOf(it job, kib int) error {
	dir := filepath.Join(it.dir, fmt.Sprint(kib))
	s, err := openStore(dir)
	if err != nil {
		return err
	}
	car, err := writeCar(filepath.Join(dir, "read.car"), kib<<10, it.mib<<10/kib)
	if err != nil {
		return err
	}
	if err := s.register(key(0), &localMount{path: car.path}, false); err != nil {
		return err
	}
	accessor, err := s.acquire(key(0))
	if err != nil {
		return err
	}
	blocks, err := accessor.Blockstore()
	if err != nil {
		return err
	}
	asked := min(100_000, 1<<20/kib)
	read := func(check bool) func() (float64, error) {
		return func() (float64, error) {
			seconds, err := timed(func() error {
				for number := range asked {
					id := car.cids[mix(uint64(number))%uint64(len(car.cids))]
					block, err := blocks.Get(context.Background(), id)
					if err != nil {
						return err
					}
					if !check {
						continue
					}
					if sum, err := id.Prefix().Sum(block.RawData()); err != nil || !sum.Equals(id) {
						return fmt.Errorf("block %s is not what it should be: %w", id, err)
					}
				}
				return nil
			})
			return seconds * 1e6 / float64(asked), err
		}
	}
	// The first reads bring every page.
	if _, err := read(false)(); err != nil {
		return err
	}
	return errors.Join(
		it.figure(fmt.Sprintf("%d KiB, unchecked", kib), read(false)),
		it.figure(fmt.Sprintf("%d KiB, checked", kib), read(true)),
		accessor.Close(),
		s.settle(key(0)),
		s.close(),
	)
}
