package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

func initialise(it job) error {
	var small []made
	for number := range it.count {
		car, err := writeCar(filepath.Join(it.dir, fmt.Sprintf("small-%d.car", number)), 1<<10, 1<<10)
		if err != nil {
			return err
		}
		small = append(small, car)
	}
	run := 0
	in := func(work func(*store) error) (float64, error) {
		run++
		dir := filepath.Join(it.dir, fmt.Sprint("store-", run))
		s, err := openStore(dir)
		if err != nil {
			return 0, err
		}
		seconds, err := timed(func() error { return work(s) })
		return seconds, errors.Join(err, s.close(), os.RemoveAll(dir))
	}
	err := it.figure("small", func() (float64, error) {
		seconds, err := in(func(s *store) error {
			return crowd(len(small), len(small), func(number int) error {
				return s.register(key(number), &localMount{path: small[number].path}, false)
			})
		})
		return float64(len(small)) / seconds, err
	})
	for _, kib := range []int{256, 1} {
		if err != nil {
			return err
		}
		var car made
		car, err = writeCar(filepath.Join(it.dir, "large.car"), kib<<10, it.mib<<10/kib)
		if err != nil {
			return err
		}
		err = it.figure(fmt.Sprintf("%d KiB", kib), func() (float64, error) {
			return in(func(s *store) error { return s.register(key(0), &localMount{path: car.path}, false) })
		})
	}
	return err
}

// firstByte acquires a shard behind HTTP that was never seen and reads its middle block, in milliseconds.
func firstByte(it job) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(it.dir))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	run := 0
	for _, kib := range []int{256, 1} {
		car, err := writeCar(filepath.Join(it.dir, "remote.car"), kib<<10, it.mib<<10/kib)
		if err != nil {
			return err
		}
		address := "http://" + listener.Addr().String() + "/remote.car"
		err = it.figure(fmt.Sprintf("%d KiB", kib), func() (float64, error) {
			run++
			return fromAfar(filepath.Join(it.dir, fmt.Sprint("store-", run)), address, car)
		})
		if err != nil {
			return err
		}
	}
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func fromAfar(dir, address string, car made) (float64, error) {
	s, err := openStore(dir)
	if err != nil {
		return 0, err
	}
	if err := s.register(key(0), &webMount{address: address}, true); err != nil {
		return 0, err
	}
	seconds, err := timed(func() error {
		accessor, err := s.acquire(key(0))
		if err != nil {
			return err
		}
		blocks, err := accessor.Blockstore()
		if err != nil {
			return err
		}
		_, err = blocks.Get(context.Background(), car.cids[len(car.cids)/2])
		return errors.Join(err, accessor.Close())
	})
	return seconds * 1e3, errors.Join(err, s.settle(key(0)), s.close(), os.RemoveAll(dir))
}
