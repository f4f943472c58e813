#include "store/pg_taken.h"

#include "base/time.h"

#include <string.h>

enum { FIRST_SLOTS = 64 };

/* The slot that holds this tenant, or the free one where it belongs. */
static size_t *slot_of(const struct pg_taken *taken, const char *tenant) {
    size_t at = text_hash(tenant, strlen(tenant)) % taken->n_slots;
    while (taken->slots[at] && strcmp(taken->tenants[taken->slots[at] - 1].tenant, tenant) != 0) at = (at + 1) % taken->n_slots;
    return &taken->slots[at];
}

static void make_room(struct pg_taken *taken) {
    if (taken->n_tenants * 2 < taken->n_slots) return;
    taken->n_slots = taken->n_slots ? taken->n_slots * 2 : FIRST_SLOTS;
    taken->slots = ARENA_ARRAY(taken->arena, size_t, taken->n_slots);
    for (size_t i = 0; i < taken->n_tenants; i++) *slot_of(taken, taken->tenants[i].tenant) = i + 1;
}

static struct pg_tenant_taken *tenant_of(struct pg_taken *taken, const char *tenant) {
    struct pg_tenant_taken *last = taken->n_tenants ? &taken->tenants[taken->n_tenants - 1] : NULL;
    if (last && !strcmp(last->tenant, tenant)) return last;
    make_room(taken);
    size_t *slot = slot_of(taken, tenant);
    if (*slot) return &taken->tenants[*slot - 1];
    struct pg_tenant_taken *new = ARENA_APPEND(taken->arena, taken->tenants, taken->n_tenants);
    *new = (struct pg_tenant_taken){.tenant = arena_strdup(taken->arena, tenant), .oldest_us = TIME_FOREVER, .latest_us = INT64_MIN};
    *slot = taken->n_tenants;
    return new;
}

void pg_taken_add(struct pg_taken *taken, const struct pg_record *record) {
    struct pg_tenant_taken *tenant = tenant_of(taken, record->tenant);
    tenant->count++;
    if (record->instant_us < tenant->oldest_us) tenant->oldest_us = record->instant_us;
    if (record->instant_us != TIME_FOREVER && record->instant_us >= tenant->latest_us) {
        tenant->latest_us = record->instant_us;
        (void)text_copy(tenant->latest, sizeof tenant->latest, record->anchor ? record->anchor : "");
    }
    if (!taken->records || pg_ctid_compare(taken->last, record->ctid) < 0) taken->last = record->ctid;
    taken->records++;
}

void pg_taken_add_many(struct pg_taken *taken, const char *tenant_id, int64_t count, int64_t oldest_us) {
    struct pg_tenant_taken *tenant = tenant_of(taken, tenant_id);
    tenant->count += count;
    if (oldest_us < tenant->oldest_us) tenant->oldest_us = oldest_us;
    taken->records += (size_t)count;
}

const struct pg_tenant_taken *pg_taken_of(const struct pg_taken *taken, const char *tenant) {
    size_t slot = taken->n_slots ? *slot_of(taken, tenant) : 0;
    return slot ? &taken->tenants[slot - 1] : NULL;
}

const struct pg_tenant_taken *pg_taken_latest(const struct pg_taken *taken) {
    const struct pg_tenant_taken *latest = NULL;
    for (size_t i = 0; i < taken->n_tenants; i++)
        if (!latest || taken->tenants[i].latest_us > latest->latest_us) latest = &taken->tenants[i];
    return latest;
}
