package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/filecoin-project/dagstore/index"
	"github.com/filecoin-project/dagstore/shard"
	"github.com/multiformats/go-multihash"
)

// multihashes are those of a shard's blocks.
type multihashes []multihash.Multihash

func (all multihashes) ForEach(each func(multihash.Multihash) error) error {
	for _, one := range all {
		if err := each(one); err != nil {
			return err
		}
	}
	return nil
}

// block is the multihash of a block of a shard.
func block(shard, number int) (multihash.Multihash, error) {
	return multihash.Sum(fmt.Appendf(nil, "%d/%d", shard, number), multihash.SHA2_256, -1)
}

// blocks are the multihashes of a shard, sorted as an index yields them.
func blocks(shard, count int) (multihashes, error) {
	all := make(multihashes, count)
	for number := range all {
		one, err := block(shard, number)
		if err != nil {
			return nil, err
		}
		all[number] = one
	}
	slices.SortFunc(all, func(a, b multihash.Multihash) int { return bytes.Compare(a, b) })
	return all, nil
}

// insertShard loads the blocks of a shard into an inverted index, for the shard of number owner. Multihashes a second.
func insertShard(into index.Inverted, blocks multihashes, owner int) (float64, error) {
	seconds, err := timed(func() error {
		return into.AddMultihashesForShard(context.Background(), blocks, shard.KeyFromString(key(owner)))
	})
	return float64(len(blocks)) / seconds, err
}

func invertedInsert(it job) error {
	var none, held, again []float64
	for run := range max(it.runs, 1) {
		level, err := openLevel(filepath.Join(it.dir, fmt.Sprint(run)))
		if err != nil {
			return err
		}
		inverted := index.NewInverted(level)
		var rates []float64
		var last multihashes
		for number := range it.held + 1 {
			if last, err = blocks(number, it.count); err != nil {
				return err
			}
			rate, err := insertShard(inverted, last, number)
			if err != nil {
				return err
			}
			rates = append(rates, rate)
		}
		second, err := insertShard(inverted, last, it.held+1)
		if err = errors.Join(err, level.Close()); err != nil {
			return err
		}
		none, held, again = append(none, rates[0]), append(held, rates[it.held]), append(again, second)
	}
	return errors.Join(tell("into none", none), tell("into what is there", held), tell("again", again))
}

func invertedLookup(it job) error {
	const asked = 20_000
	level, err := openLevel(it.dir)
	if err != nil {
		return err
	}
	inverted := index.NewInverted(level)
	for number := range it.held {
		all, err := blocks(number, it.count)
		if err != nil {
			return err
		}
		if _, err := insertShard(inverted, all, number); err != nil {
			return err
		}
	}
	lookUp := func(absent bool) func() (float64, error) {
		seed := uint64(0)
		return func() (float64, error) {
			var all multihashes
			for range asked {
				seed++
				random := mix(seed)
				owner := int(random % uint64(it.held))
				if absent {
					owner += it.held
				}
				one, err := block(owner, int((random>>32)%uint64(it.count)))
				if err != nil {
					return 0, err
				}
				all = append(all, one)
			}
			seconds, err := timed(func() error {
				return all.ForEach(func(one multihash.Multihash) error {
					found, err := inverted.GetShardsForMultihash(context.Background(), one)
					if (err != nil) != absent {
						return fmt.Errorf("%s was found in %d shards: %w", one, len(found), err)
					}
					return nil
				})
			})
			return seconds * 1e6 / asked, err
		}
	}
	present := lookUp(false)
	// The first look-ups warm everything up.
	if _, err := present(); err != nil {
		return err
	}
	return errors.Join(it.figure("present", present), it.figure("absent", lookUp(true)), level.Close())
}
