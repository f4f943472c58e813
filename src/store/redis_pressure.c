/* How others fare while we destroy: how long ago the slowest replica was heard of last (in whole seconds; it says so every second). */
#include "store/redis_internal.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

int64_t redis_replica_lag(const char *info) {
    int64_t lag_us = PRESSURE_NONE;
    for (const char *line = info; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t length = strcspn(line, "\r\n");
        if (!text_starts_with(line, "slave") || line[5] < '0' || line[5] > '9') continue;
        const char *state = strstr(line, ",state=online"), *lag = strstr(line, ",lag=");
        if (!state || !lag || state > line + length || lag > line + length) continue; /* one that still loads what there is */
        int64_t us = strtoll(lag + strlen(",lag="), NULL, 10) * TIME_SECOND_US;
        if (us > lag_us) lag_us = us;
    }
    return lag_us;
}

int redis_pressure(struct store *base, const char *query, struct pressure *ret_pressure, struct err *err) {
    struct redis_store *store = redis_of(base);
    REDIS_REPLY reply = NULL;
    (void)query; /* there is no language to ask it in */
    if (redis_ask_words(store, &reply, err, "INFO", "replication", NULL) < 0) return -1;
    if (reply->type != REDIS_REPLY_STRING) return redis_misshapen(store, "INFO", err);
    *ret_pressure = (struct pressure){.replica_lag_us = redis_replica_lag(reply->str), .snapshot_age_us = PRESSURE_NONE, .lock_waits = PRESSURE_NONE};
    return 0;
}
