#include "store/redis_internal.h"

#include <stdlib.h>
#include <string.h>

/* Keys lie one behind the other, each behind its length, in chunks that go when they are read. */
enum { CHUNK_BYTES = 256 * 1024, MOST_CHUNKS = 48 };

struct chunk {
    struct chunk *next;
    size_t used, read;
    unsigned char bytes[CHUNK_BYTES];
};

struct redis_found {
    const struct order **orders;
    size_t n_orders;
    struct chunk *first, *last;
    size_t n_chunks;
    bool full; /* there were more than there is room for */
    const char *newest;
    size_t newest_length;
};

struct redis_found *redis_found_new(const struct order *const *orders, size_t n_orders) {
    struct redis_found *found = xcalloc(1, sizeof *found);
    found->orders = xcalloc(n_orders + 1, sizeof(const struct order *));
    for (size_t i = 0; i < n_orders; i++) found->orders[i] = orders[i];
    found->n_orders = n_orders;
    return found;
}

static void drop_first(struct redis_found *found) {
    struct chunk *gone = found->first;
    found->first = gone->next;
    if (!found->first) found->last = NULL;
    free(gone);
}

static void drop_all(struct redis_found *found) {
    while (found->first) drop_first(found);
    found->newest = NULL;
}

void redis_found_free(struct redis_found *found) {
    if (!found) return;
    drop_all(found);
    free(found->orders);
    free(found);
}

static bool is_newest(const struct redis_found *found, const char *key, size_t length) {
    return found->newest && length == found->newest_length && memcmp(key, found->newest, length) == 0;
}

/* Room behind the last key; false: there is none. */
static bool make_room(struct redis_found *found, size_t size) {
    if (size > CHUNK_BYTES) return false;
    if (found->last && CHUNK_BYTES - found->last->used >= size) return true;
    if (found->n_chunks == MOST_CHUNKS) return false;
    struct chunk *chunk = xmalloc(sizeof *chunk);
    chunk->next = NULL;
    chunk->used = chunk->read = 0;
    if (found->last) found->last->next = chunk;
    else found->first = chunk;
    found->last = chunk;
    found->n_chunks++;
    return true;
}

void redis_found_add(struct redis_found *found, const char *key, size_t length) {
    uint32_t prefix = (uint32_t)length;
    if (found->full || is_newest(found, key, length)) return;
    if (length > CHUNK_BYTES || !make_room(found, sizeof prefix + length)) {
        found->full = true;
        drop_all(found);
        return;
    }
    unsigned char *at = found->last->bytes + found->last->used;
    memcpy(at, &prefix, sizeof prefix);
    memcpy(at + sizeof prefix, key, length);
    found->last->used += sizeof prefix + length;
    found->newest = (const char *)at + sizeof prefix;
    found->newest_length = length;
}

static bool has_order(const struct redis_found *found, const struct order *order) {
    for (size_t i = 0; i < found->n_orders; i++)
        if (found->orders[i] == order) return true;
    return false;
}

bool redis_found_answers(const struct redis_found *found, const struct order *const *orders, size_t n_orders) {
    if (!found || found->full) return false;
    for (size_t i = 0; i < n_orders; i++)
        if (!has_order(found, orders[i])) return false;
    return true;
}

bool redis_found_is_over(const struct redis_found *found) {
    const struct chunk *first = found->first;
    return !first || (first->read == first->used && !first->next);
}

/* Of one chunk at most, so that no page needs more than the first one. */
const redisReply *redis_found_page(struct redis_found *found, struct arena *page, size_t most) {
    if (found->first && found->first->read == found->first->used) drop_first(found);
    redisReply *keys = ARENA_NEW(page, redisReply), *items = ARENA_ARRAY(page, redisReply, most);
    keys->type = REDIS_REPLY_ARRAY;
    keys->element = ARENA_ARRAY(page, redisReply *, most);
    if (!found->first) return keys;
    for (size_t at = found->first->read; at < found->first->used && keys->elements < most;) {
        uint32_t length;
        memcpy(&length, found->first->bytes + at, sizeof length);
        items[keys->elements] = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)found->first->bytes + at + sizeof length, .len = length};
        keys->element[keys->elements] = &items[keys->elements];
        keys->elements++;
        at += sizeof length + length;
    }
    return keys;
}

void redis_found_advance(struct redis_found *found, const redisReply *page) {
    for (size_t i = 0; i < page->elements; i++) found->first->read += sizeof(uint32_t) + page->element[i]->len;
}
