#include "schedule/tenants.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct tenants {
    const struct schedule *schedule;
    struct arena *arena;
    struct tenant *items;
    size_t count, room;
    bool finished;
    uint32_t *slots; /* hash table of index + 1 into items */
    size_t n_slots;  /* a power of two */
    const char **texts; /* period texts and parents, each kept once */
    size_t n_texts;
};

enum { FIRST_SLOTS = 1024, MOST_INTERNED = 64 };

struct tenants *tenants_new(const struct schedule *schedule) {
    struct tenants *tenants = xcalloc(1, sizeof *tenants);
    tenants->schedule = schedule;
    tenants->arena = arena_new();
    tenants->n_slots = FIRST_SLOTS;
    tenants->slots = xcalloc(tenants->n_slots, sizeof *tenants->slots);
    return tenants;
}

void tenants_free(struct tenants *tenants) {
    if (!tenants) return;
    free(tenants->items);
    free(tenants->slots);
    free(tenants->texts);
    arena_free(tenants->arena);
    free(tenants);
}

static size_t slot_of(const struct tenants *tenants, const char *id) {
    size_t slot = text_hash(id, strlen(id)) & (tenants->n_slots - 1);
    while (tenants->slots[slot] && strcmp(tenants->items[tenants->slots[slot] - 1].id, id) != 0)
        slot = (slot + 1) & (tenants->n_slots - 1);
    return slot;
}

static void fill_slots(struct tenants *tenants) {
    memset(tenants->slots, 0, tenants->n_slots * sizeof *tenants->slots);
    for (size_t i = 0; i < tenants->count; i++) tenants->slots[slot_of(tenants, tenants->items[i].id)] = (uint32_t)i + 1;
}

static void grow_slots(struct tenants *tenants) {
    free(tenants->slots);
    tenants->n_slots *= 2;
    tenants->slots = xcalloc(tenants->n_slots, sizeof *tenants->slots);
    fill_slots(tenants);
}

/* Period texts are few and repeat: the first MOST_INTERNED different ones are kept once. */
static const char *intern(struct tenants *tenants, const char *text) {
    if (!text) return NULL;
    for (size_t i = 0; i < tenants->n_texts; i++)
        if (!strcmp(tenants->texts[i], text)) return tenants->texts[i];
    const char *copy = arena_strdup(tenants->arena, text);
    if (tenants->n_texts < MOST_INTERNED) {
        if (!tenants->texts) tenants->texts = xcalloc(MOST_INTERNED, sizeof *tenants->texts);
        tenants->texts[tenants->n_texts++] = copy;
    }
    return copy;
}

static struct tenant *append(struct tenants *tenants) {
    if (tenants->count == tenants->room) {
        tenants->room = tenants->room ? tenants->room * 2 : 256;
        tenants->items = xrealloc(tenants->items, tenants->room * sizeof *tenants->items);
    }
    struct tenant *tenant = &tenants->items[tenants->count++];
    *tenant = (struct tenant){0};
    return tenant;
}

static void add_new(struct tenants *tenants, const struct tenant_row *row) {
    const struct tenants_conf *conf = &tenants->schedule->tenants;
    struct tenant *tenant = append(tenants);
    /* One piece of memory a tenant: its ends, its periods, its id. */
    size_t ends_size = conf->n_ends * sizeof(int64_t), periods_size = conf->n_period_columns * sizeof(char *);
    size_t id_size = strlen(row->id) + 1;
    unsigned char *memory = arena_alloc(tenants->arena, ends_size + periods_size + id_size);
    int64_t *ends = (int64_t *)(void *)memory;
    const char **periods = (const char **)(void *)(memory + ends_size);
    for (size_t i = 0; i < conf->n_ends; i++) {
        ends[i] = row->ends[i];
        if (row->bad_ends[i]) tenant->undecidable_ends |= 1U << i;
    }
    for (size_t i = 0; i < conf->n_period_columns; i++) periods[i] = intern(tenants, row->periods[i]);
    tenant->id = memcpy(memory + ends_size + periods_size, row->id, id_size);
    tenant->ends = ends;
    tenant->periods = periods;
    tenant->parent = row->parent && *row->parent ? arena_strdup(tenants->arena, row->parent) : NULL;
}

static void merge(struct tenants *tenants, struct tenant *tenant, const struct tenant_row *row) {
    const struct tenants_conf *conf = &tenants->schedule->tenants;
    /* The arrays are ours; only readers see them as const. */
    int64_t *ends = (int64_t *)(uintptr_t)tenant->ends;
    for (size_t i = 0; i < conf->n_ends; i++) {
        if (row->ends[i] > ends[i]) ends[i] = row->ends[i];
        if (row->bad_ends[i]) tenant->undecidable_ends |= 1U << i;
    }
    for (size_t i = 0; i < conf->n_period_columns; i++)
        if (!text_equal(tenant->periods[i], row->periods[i])) tenant->undecidable_periods |= 1U << i;
    const char *parent = row->parent && *row->parent ? row->parent : NULL;
    if (!text_equal(tenant->parent, parent)) tenant->undecidable_parent = true;
}

int tenants_add(struct tenants *tenants, const struct tenant_row *row, struct err *err) {
    assert(!tenants->finished);
    if (!row->id || !*row->id)
        return err_set(err, ERR_REFUSED, "the tenants query gave a line without a tenant; every line needs its tenant's id");
    size_t slot = slot_of(tenants, row->id);
    if (tenants->slots[slot]) {
        merge(tenants, &tenants->items[tenants->slots[slot] - 1], row);
        return 0;
    }
    add_new(tenants, row);
    tenants->slots[slot] = (uint32_t)tenants->count;
    if (tenants->count * 2 > tenants->n_slots) grow_slots(tenants);
    return 0;
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct tenant *)a)->id, ((const struct tenant *)b)->id);
}

void tenants_finish(struct tenants *tenants) {
    tenants->finished = true;
    if (tenants->count) qsort(tenants->items, tenants->count, sizeof *tenants->items, by_id);
    fill_slots(tenants);
}

size_t tenants_count(const struct tenants *tenants) { return tenants->count; }

const struct tenant *tenants_at(const struct tenants *tenants, size_t index) {
    assert(index < tenants->count);
    return &tenants->items[index];
}

const struct tenant *tenants_find(const struct tenants *tenants, const char *id) {
    assert(tenants->finished);
    uint32_t slot = tenants->slots[slot_of(tenants, id)];
    return slot ? &tenants->items[slot - 1] : NULL;
}
