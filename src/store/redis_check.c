#include "store/redis_internal.h"

int redis_check(struct store *base, struct faults *faults, bool *bad, struct err *err) {
    struct redis_store *store = redis_of(base);
    redis_bind(store, faults, bad);
    return redis_connect(store, err);
}
