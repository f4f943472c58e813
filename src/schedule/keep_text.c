/* Periods and words as they are published. */
#include "base/text.h"
#include "schedule/schedule.h"

static void add_keep(struct buf *buf, const struct keep *keep) {
    switch (keep->kind) {
    case KEEP_AGE: buf_add(buf, period_format(keep->period).text); break;
    case KEEP_END:
        if (keep->period.count) buf_printf(buf, "%s + %s", keep->end, period_format(keep->period).text);
        else buf_printf(buf, "until %s", keep->end);
        break;
    case KEEP_FOREVER: buf_add(buf, "forever"); break;
    }
}

char *schedule_keep_text(struct arena *arena, const struct keep *keep, size_t n_keep) {
    __attribute__((cleanup(buf_free))) struct buf buf = {0};
    for (size_t i = 0; i < n_keep; i++) {
        if (i) buf_add(&buf, ", or ");
        add_keep(&buf, &keep[i]);
    }
    return arena_strdup(arena, buf_text(&buf));
}

const char *schedule_target_word(enum target_kind kind) {
    static const char *const words[] = {[TARGET_TABLE] = "table", [TARGET_COLLECTION] = "collection", [TARGET_KEYS] = "keys"};
    return words[kind];
}

const char *schedule_strategy_name(enum strategy strategy) {
    static const char *const names[] = {
        [STRATEGY_NULL] = "null",
        [STRATEGY_FIXED] = "fixed",
        [STRATEGY_TRUNCATE_IP] = "truncate-ip",
        [STRATEGY_TRUNCATE_TIME] = "truncate-time",
        [STRATEGY_STRIP_URL] = "strip-url",
        [STRATEGY_HOST] = "host",
        [STRATEGY_BROWSER_FAMILY] = "browser-family",
        [STRATEGY_PSEUDONYMIZE] = "pseudonymize",
        [STRATEGY_AS_IS] = "as-is",
    };
    return names[strategy];
}
