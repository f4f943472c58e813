#include "store/mongo_internal.h"

/* A tenant's own collections go whole: their share says nothing. */
int mongo_size(struct store *base, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err) {
    (void)arena;
    struct mongo_store *store = (struct mongo_store *)(void *)base;
    *ret_records = -1;
    if (target->tenant_in_name) return 0;
    MONGO_BSON pipeline = BCON_NEW("pipeline", "[", "{", "$limit", BCON_INT64(most), "}", "{", "$count", BCON_UTF8("n"), "}", "]");
    MONGO_CURSOR cursor = NULL;
    const bson_t *document;
    bson_iter_t iter;
    if (mongo_aggregate(store, NULL, target->name, pipeline, NULL, &cursor, err) || mongo_next(store, cursor, "count", &document, err)) return -1;
    *ret_records = document && bson_iter_init_find(&iter, document, "n") ? bson_iter_as_int64(&iter) : 0;
    return 0;
}
