// peers runs what other implementations make of our files.
//
//	go run . decode-records FILE
//
// reads records, one a line, as Go's dagstore does, and writes each again: the bytes must be the same.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/filecoin-project/dagstore"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "decode-records" {
		fmt.Fprintln(os.Stderr, "usage: peers decode-records FILE")
		os.Exit(2)
	}
	records, err := decodeRecords(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Printf("%d records, each with the bytes that Go writes\n", records)
}

func decodeRecords(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	records := 0
	for lines.Scan() {
		records++
		var shard dagstore.PersistedShard
		if err := json.Unmarshal(lines.Bytes(), &shard); err != nil {
			return records, fmt.Errorf("line %d: %w", records, err)
		}
		again, err := json.Marshal(shard)
		if err != nil {
			return records, fmt.Errorf("line %d: %w", records, err)
		}
		if !bytes.Equal(again, lines.Bytes()) {
			return records, fmt.Errorf("line %d is %s, and Go writes %s", records, lines.Bytes(), again)
		}
	}
	return records, lines.Err()
}
