// peers runs what other implementations make of our files and of our work.
//
//	go run . decode-records FILE
//
// reads records, one a line, as Go's dagstore does, and writes each again: the bytes must be the same.
//
//	go run . bench [-runs N] [-full] [-dir PATH] ROW
//
// measures one row of the benches with Go's dagstore, go-car and LevelDB, and prints a line of JSON for each figure.
// `cargo xtask bench peers` runs it beside our own benches.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "decode-records":
		records, err := decodeRecords(args[1])
		if err != nil {
			return err
		}
		fmt.Printf("%d records, each with the bytes that Go writes\n", records)
		return nil
	case len(args) > 1 && args[0] == "bench":
		return bench(args[1:])
	}
	return fmt.Errorf("usage: peers decode-records FILE | peers bench [-runs N] [-full] [-dir PATH] ROW")
}
