/* A map from bytes to a number, for joining documents in memory. Keys are copied into the arena; nothing is ever removed. */
#ifndef LAPSED_STORE_MONGO_MAP_H
#define LAPSED_STORE_MONGO_MAP_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mongo_map {
    struct arena *arena;
    struct mongo_map_entry *entries; /* open addressing; room is a power of two */
    size_t count, room;
};

/* Returns false, and changes nothing, if the key is there already. */
bool mongo_map_put(struct mongo_map *map, const uint8_t *key, size_t length, size_t value);
bool mongo_map_get(const struct mongo_map *map, const uint8_t *key, size_t length, size_t *ret_value);

#endif
