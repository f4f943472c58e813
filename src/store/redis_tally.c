#include "store/redis_internal.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

/* Counts by tenant: a hash table with open addressing, at most two thirds full. */
struct redis_tally {
    struct arena *arena; /* ids */
    struct tenant_count *slots;
    size_t n_slots, n_used;
};

struct redis_tally *redis_tally_new(void) {
    struct redis_tally *tally = xcalloc(1, sizeof *tally);
    tally->arena = arena_new();
    tally->n_slots = 64;
    tally->slots = xcalloc(tally->n_slots, sizeof *tally->slots);
    return tally;
}

void redis_tally_free(struct redis_tally *tally) {
    if (!tally) return;
    arena_free(tally->arena);
    free(tally->slots);
    free(tally);
}

static struct tenant_count *slot_of(struct tenant_count *slots, size_t n_slots, const char *tenant) {
    size_t at = text_hash(tenant, strlen(tenant)) & (n_slots - 1);
    while (slots[at].tenant && strcmp(slots[at].tenant, tenant) != 0) at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

static void grow(struct redis_tally *tally) {
    size_t n_slots = tally->n_slots * 2;
    struct tenant_count *slots = xcalloc(n_slots, sizeof *slots);
    for (size_t i = 0; i < tally->n_slots; i++) {
        if (tally->slots[i].tenant) *slot_of(slots, n_slots, tally->slots[i].tenant) = tally->slots[i];
    }
    free(tally->slots);
    tally->slots = slots;
    tally->n_slots = n_slots;
}

void redis_tally_add(struct redis_tally *tally, const char *tenant, int64_t count, int64_t cutoff_us, int64_t oldest_us) {
    struct tenant_count *slot = slot_of(tally->slots, tally->n_slots, tenant);
    if (!slot->tenant) {
        if (3 * (tally->n_used + 1) > 2 * tally->n_slots) {
            grow(tally);
            slot = slot_of(tally->slots, tally->n_slots, tenant);
        }
        *slot = (struct tenant_count){.tenant = arena_strdup(tally->arena, tenant), .cutoff_us = cutoff_us, .oldest_us = TIME_FOREVER};
        tally->n_used++;
    }
    slot->count += count;
    if (oldest_us < slot->oldest_us) slot->oldest_us = oldest_us;
}

bool redis_tally_has(const struct redis_tally *tally, const char *tenant) {
    return slot_of(tally->slots, tally->n_slots, tenant)->tenant != NULL;
}

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

struct tenant_count *redis_tally_list(const struct redis_tally *tally, struct arena *arena, size_t *ret_count) {
    struct tenant_count *list = ARENA_ARRAY(arena, struct tenant_count, tally->n_used);
    size_t n = 0;
    for (size_t i = 0; i < tally->n_slots; i++) {
        if (!tally->slots[i].tenant) continue;
        list[n] = tally->slots[i];
        list[n++].tenant = arena_strdup(arena, tally->slots[i].tenant);
    }
    qsort(list, n, sizeof *list, by_tenant);
    *ret_count = n;
    return list;
}
