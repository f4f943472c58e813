#include "store/pg_compile.h"

#include "store/pg_bind.h"
#include "store/pg_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static int count_leaf(struct pg_store *store, const struct pg_table *leaf, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err) {
    PG_SQL sql = {.arena = arena};
    PG_RESULT result = NULL;
    buf_printf(&sql.text, "SELECT count(*) FROM (SELECT FROM ONLY %s LIMIT %" PRId64 ") records", leaf->quoted, most);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    *ret_records = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

int pg_size(struct store *base, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    const struct pg_bound *bound = pg_bound_of(store, target);
    assert(!store->prepared);
    *ret_records = 0;
    if (!bound || !bound->table) return 0;
    if (pg_begin(store, false, err) < 0) return -1;
    int result = 0;
    for (size_t i = 0; i < bound->table->n_leaves && *ret_records < most && result == 0; i++) {
        int64_t records;
        result = count_leaf(store, bound->table->leaves[i], most - *ret_records, arena, &records, err);
        if (result == 0) *ret_records += records;
    }
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0) return -1;
    return result;
}
