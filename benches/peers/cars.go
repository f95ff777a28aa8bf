package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/multiformats/go-multihash"
)

// made is a CAR on the disk and the CIDs of its blocks, in their order.
type made struct {
	path string
	cids []cid.Cid
}

// emptyHeader is that of a CARv1 without roots: its length, and {roots: [], version: 1} in CBOR.
var emptyHeader = []byte("\x11\xa2\x65roots\x80\x67version\x01")

// writeCar writes and syncs a CARv1 of so many different blocks, and reads it once, so that it is in the cache.
func writeCar(path string, blockBytes, blocks int) (made, error) {
	file, err := os.Create(path)
	if err != nil {
		return made{}, err
	}
	defer file.Close()
	writer := bufio.NewWriterSize(file, 1<<20)
	if _, err := writer.Write(emptyHeader); err != nil {
		return made{}, err
	}
	data := make([]byte, blockBytes)
	copy(data[8:], path)
	all := made{path: path}
	for number := range blocks {
		binary.BigEndian.PutUint64(data, uint64(number))
		digest, err := multihash.Sum(data, multihash.SHA2_256, -1)
		if err != nil {
			return made{}, err
		}
		id := cid.NewCidV1(cid.Raw, digest)
		section := binary.AppendUvarint(nil, uint64(id.ByteLen()+blockBytes))
		for _, part := range [][]byte{section, id.Bytes(), data} {
			if _, err := writer.Write(part); err != nil {
				return made{}, err
			}
		}
		all.cids = append(all.cids, id)
	}
	return all, errors.Join(writer.Flush(), file.Sync())
}

// indexOptions are those of the original.
var indexOptions = []car.Option{car.ZeroLengthSectionAsEOF(true), car.StoreIdentityCIDs(true)}
