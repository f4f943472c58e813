#include "store/mongo_map.h"

#include "base/text.h"

#include <string.h>

struct mongo_map_entry {
    const uint8_t *key; /* NULL: free */
    size_t length, value;
};

enum { FIRST_ROOM = 64 };

/* The entry of the key, or the free one where it belongs. */
static struct mongo_map_entry *place_of(const struct mongo_map *map, const uint8_t *key, size_t length) {
    for (size_t at = text_hash((const char *)key, length);; at++) {
        struct mongo_map_entry *entry = &map->entries[at & (map->room - 1)];
        if (!entry->key || (entry->length == length && !memcmp(entry->key, key, length))) return entry;
    }
}

static void grow(struct mongo_map *map) {
    struct mongo_map larger = {.arena = map->arena, .room = map->room ? map->room * 2 : FIRST_ROOM, .count = map->count};
    larger.entries = ARENA_ARRAY(map->arena, struct mongo_map_entry, larger.room);
    for (size_t i = 0; i < map->room; i++)
        if (map->entries[i].key) *place_of(&larger, map->entries[i].key, map->entries[i].length) = map->entries[i];
    *map = larger;
}

bool mongo_map_put(struct mongo_map *map, const uint8_t *key, size_t length, size_t value) {
    if (map->count * 4 >= map->room * 3) grow(map);
    struct mongo_map_entry *entry = place_of(map, key, length);
    if (entry->key) return false;
    uint8_t *copy = arena_alloc(map->arena, length);
    memcpy(copy, key, length);
    *entry = (struct mongo_map_entry){.key = copy, .length = length, .value = value};
    map->count++;
    return true;
}

bool mongo_map_get(const struct mongo_map *map, const uint8_t *key, size_t length, size_t *ret_value) {
    if (!map->room) return false;
    const struct mongo_map_entry *entry = place_of(map, key, length);
    if (!entry->key) return false;
    *ret_value = entry->value;
    return true;
}
