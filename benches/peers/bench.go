package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// row is a bench: what it measures under one name, with its sizes and a folder of its own.
type row func(job) error

var rows = map[string]row{
	"codecs":          codecs,
	"register":        register,
	"transitions":     transitions,
	"restart":         restart,
	"gc":              collect,
	"index-build":     indexBuild,
	"index-open":      indexOpen,
	"block-read":      blockRead,
	"inverted-insert": invertedInsert,
	"inverted-lookup": invertedLookup,
	"initialise":      initialise,
	"first-byte":      firstByte,
}

// job is what a row is told.
type job struct {
	// An empty folder on the disk to be measured.
	dir string
	// How often each figure is measured.
	runs int
	// How many shards, entries or registrations; what they are depends on the row.
	count int
	// How many shards there are before the one that is measured.
	held int
	// MiB of data in a CAR.
	mib int
}

// bench measures one row and removes what that made.
func bench(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	var it job
	flags.IntVar(&it.runs, "runs", 3, "how often each figure is measured; the median is printed")
	flags.IntVar(&it.count, "count", 1000, "how many shards, entries or registrations")
	flags.IntVar(&it.held, "held", 3, "how many shards are there before")
	flags.IntVar(&it.mib, "mib", 64, "MiB of data in a CAR")
	place := flags.String("dir", os.TempDir(), "where the stores are made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	measure, ok := rows[flags.Arg(0)]
	if !ok {
		return fmt.Errorf("no row is named %q", flags.Arg(0))
	}
	dir, err := os.MkdirTemp(*place, "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	it.dir = dir
	return measure(it)
}

// figure measures something so many times and prints the median.
func (it job) figure(name string, measure func() (float64, error)) error {
	var runs []float64
	for range max(it.runs, 1) {
		value, err := measure()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		runs = append(runs, value)
	}
	return tell(name, runs)
}

func tell(name string, runs []float64) error {
	sorted := slices.Sorted(slices.Values(runs))
	middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	line, err := json.Marshal(map[string]any{"name": name, "median": middle, "runs": runs})
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}

// timed is how many seconds something takes.
func timed(work func() error) (float64, error) {
	start := time.Now()
	err := work()
	return time.Since(start).Seconds(), err
}

// key is like a piece CID: the same beginning, 60 letters, and the same for the same number.
func key(number int) string { return letters("baga6ea4seaq", number, 60) }

// letters fills a beginning up with what looks random.
func letters(start string, number, length int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var text strings.Builder
	text.WriteString(start)
	state := uint64(number)
	for text.Len() < length {
		state = mix(state)
		text.WriteByte(alphabet[state&31])
	}
	return text.String()
}

// mix is a step of SplitMix64.
func mix(state uint64) uint64 {
	state += 0x9e3779b97f4a7c15
	state = (state ^ state>>30) * 0xbf58476d1ce4e5b9
	state = (state ^ state>>27) * 0x94d049bb133111eb
	return state ^ state>>31
}
