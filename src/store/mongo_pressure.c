/* How others fare while we destroy: what the throttle asks for. */
#include "store/mongo_internal.h"

enum { SERVER_UNAUTHORIZED = 13, MEMBER_PRIMARY = 1, MEMBER_SECONDARY = 2, MEMBER_RECOVERING = 3 };

/* When the last operation that this member has applied was written, by the primary's clock. False: it is of another kind, or down. */
static bool applied_at(const bson_iter_t *member, bool primary, int64_t *ret_us) {
    bson_iter_t iter;
    if (!BSON_ITER_HOLDS_DOCUMENT(member) || !bson_iter_recurse(member, &iter) || !bson_iter_find(&iter, "state")) return false;
    int64_t state = bson_iter_as_int64(&iter);
    if (primary ? state != MEMBER_PRIMARY : state != MEMBER_SECONDARY && state != MEMBER_RECOVERING) return false;
    if (!bson_iter_recurse(member, &iter) || !bson_iter_find(&iter, "optimeDate") || !BSON_ITER_HOLDS_DATE_TIME(&iter)) return false;
    *ret_us = bson_iter_date_time(&iter) * 1000;
    return true;
}

int64_t mongo_replica_lag(const bson_t *status) {
    bson_iter_t iter, member;
    int64_t at_us, primary_us = 0, earliest_us = 0;
    bool has_primary = false, has_replica = false;
    if (!bson_iter_init_find(&iter, status, "members") || !BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &member)) return PRESSURE_NONE;
    while (bson_iter_next(&member)) {
        if (applied_at(&member, true, &at_us)) {
            primary_us = at_us;
            has_primary = true;
        } else if (applied_at(&member, false, &at_us)) {
            if (!has_replica || at_us < earliest_us) earliest_us = at_us;
            has_replica = true;
        }
    }
    if (!has_primary || !has_replica) return PRESSURE_NONE;
    return primary_us > earliest_us ? primary_us - earliest_us : 0;
}

int mongo_pressure(struct store *base, const char *query, struct pressure *ret_pressure, struct err *err) {
    (void)query; /* of SQL */
    struct mongo_store *store = mongo_of(base);
    struct pressure pressure = {.replica_lag_us = PRESSURE_NONE, .snapshot_age_us = PRESSURE_NONE, .lock_waits = PRESSURE_NONE};
    if (mongo_connect(store, NULL, err)) return -1;
    if (store->transactions) { /* a replica set */
        MONGO_BSON command = BCON_NEW("replSetGetStatus", BCON_INT32(1), "maxTimeMS", BCON_INT64(store->timeout_ms));
        bson_t reply;
        bson_error_t error;
        bool said = mongoc_client_command_simple(store->client, "admin", command, NULL, &reply, &error);
        bool unauthorized = !said && error.code == SERVER_UNAUTHORIZED && error.domain == MONGOC_ERROR_SERVER;
        int result = said || unauthorized ? 0 : mongo_fail(store, &error, &reply, "ask for the state of its replica set", err);
        if (!result) pressure.replica_lag_us = said ? mongo_replica_lag(&reply) : PRESSURE_UNREADABLE;
        bson_destroy(&reply);
        if (result) return -1;
    }
    *ret_pressure = pressure;
    return 0;
}
