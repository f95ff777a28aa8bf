package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/filecoin-project/dagstore"
)

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
