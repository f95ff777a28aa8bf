// Exercises a RocksDB archive through its C interface: exit code 0 means that it works.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "rocksdb/c.h"

namespace {

const int kRecords = 2000;

// Values that compress well, so that a compression that is missing can't pass unnoticed as "stored as is".
std::string Value(int number) { return std::string(500, static_cast<char>('a' + number % 26)); }

std::string Key(int number) { return "key-" + std::to_string(number); }

void Check(char* error, const char* step) {
  if (error != nullptr) {
    std::fprintf(stderr, "%s: %s\n", step, error);
    std::exit(1);
  }
}

rocksdb_t* Open(const char* path, int compression) {
  rocksdb_options_t* options = rocksdb_options_create();
  rocksdb_options_set_create_if_missing(options, 1);
  rocksdb_options_set_compression(options, compression);
  char* error = nullptr;
  rocksdb_t* database = rocksdb_open(options, path, &error);
  Check(error, "open");
  rocksdb_options_destroy(options);
  return database;
}

void Fill(rocksdb_t* database) {
  rocksdb_writeoptions_t* options = rocksdb_writeoptions_create();
  rocksdb_writeoptions_set_sync(options, 0);
  for (int number = 0; number < kRecords; number++) {
    const std::string key = Key(number), value = Value(number);
    char* error = nullptr;
    rocksdb_put(database, options, key.data(), key.size(), value.data(), value.size(), &error);
    Check(error, "put");
  }
  rocksdb_writeoptions_destroy(options);
  rocksdb_flushoptions_t* flush = rocksdb_flushoptions_create();
  char* error = nullptr;
  rocksdb_flush(database, flush, &error);
  Check(error, "flush");
  rocksdb_flushoptions_destroy(flush);
  rocksdb_compact_range(database, nullptr, 0, nullptr, 0);
}

void ReadBack(rocksdb_t* database) {
  rocksdb_readoptions_t* options = rocksdb_readoptions_create();
  rocksdb_readoptions_set_verify_checksums(options, 1);
  for (int number = 0; number < kRecords; number++) {
    const std::string key = Key(number), value = Value(number);
    char* error = nullptr;
    size_t size = 0;
    char* found = rocksdb_get(database, options, key.data(), key.size(), &size, &error);
    Check(error, "get");
    if (found == nullptr || std::string(found, size) != value) {
      std::fprintf(stderr, "%s was not read as it was written\n", key.c_str());
      std::exit(1);
    }
    std::free(found);
  }
  rocksdb_readoptions_destroy(options);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: probe FOLDER\n");
    return 1;
  }
  for (int compression : {rocksdb_lz4_compression, rocksdb_zstd_compression}) {
    const std::string path = arguments[1] + std::string("-") + std::to_string(compression);
    rocksdb_t* database = Open(path.c_str(), compression);
    Fill(database);
    rocksdb_close(database);
    database = Open(path.c_str(), compression);
    ReadBack(database);
    rocksdb_close(database);
  }
  return 0;
}
