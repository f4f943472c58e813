/* Which server answers: one that can be written to, or a copy of it; and whether what it commits outlives a crash. */
#include "store/pg_check.h"

#include <string.h>

/* A read-only store is so by its own choice: what the role or the database says stands in pg_db_role_setting too. */
static const char endpoint_sql[] =
    "SELECT pg_is_in_recovery(),"
    " (NOT $1::boolean AND current_setting('default_transaction_read_only')::boolean) OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s"
    "   LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
    "   WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND (s.setrole = 0 OR r.rolname = current_user)"
    "     AND EXISTS (SELECT FROM unnest(s.setconfig) c WHERE c ~* '^default_transaction_read_only=(on|t|true|y|yes|1)$')),"
    " current_setting('synchronous_commit') = 'off', current_user";

int pg_endpoint(struct pg_store *store, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) {
    const char *name = store->base.settings.conf->name, *read_only = store->base.settings.read_only ? "true" : "false";
    PG_RESULT result = NULL;
    if (pg_query(store, endpoint_sql, 1, &read_only, &result, err)) return -1;
    /* Perhaps another server takes over right now. */
    if (pg_cell_true(result, 0, 0))
        return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the server is a standby, which cannot be written to; name the primary in the store's URL, or add "
                                             "target_session_attrs=read-write", name);
    if (pg_cell_true(result, 0, 1))
        return err_set(err, ERR_CONFIG, "store \"%s\": transactions of the role \"%s\" are read-only (default_transaction_read_only); give it a role that may "
                                        "write", name, pg_cell(result, 0, 3));
    if (pg_cell_true(result, 0, 2))
        *ARENA_APPEND(arena, *findings, *n_findings) = (struct finding){
            .code = "synchronous-commit", .grade = FINDING_NOTE, .store = name, .count = 1,
            .text = "synchronous_commit is off: what others commit may be lost in a crash; lapsed turns it on for its own transactions, so that what "
                    "the journal calls committed stays so"};
    return 0;
}
