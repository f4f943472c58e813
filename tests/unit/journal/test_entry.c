/* Lines as the writer makes them, and the strict reader that takes them back. */
#include "folder.h"
#include "journal/chain.h"
#include "journal/reader.h"

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
static const char long_hash[] = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

static struct buf written(const struct entry *entry, int64_t seq, size_t expected_lines) {
    struct buf text = {.text = NULL};
    char hash[ENTRY_HASH_HEX + 1];
    memcpy(hash, zeros, sizeof hash);
    ck_assert_uint_eq(entry_write(&text, entry, seq, hash), expected_lines);
    ck_assert(!memcmp(text.text + text.length - strlen("\"}\n") - ENTRY_HASH_HEX, hash, ENTRY_HASH_HEX));
    return text;
}

static void assert_line(const struct entry *entry, const char *middle) {
    struct entry timed = *entry;
    timed.time_us = INT64_C(1795395600123456);
    struct buf text = written(&timed, 42, 1), expected = {.text = NULL};
    buf_printf(&expected, "{\"v\":1,\"seq\":42,\"time\":\"2026-11-23T01:00:00.123456Z\",\"event\":\"%s\",%s,\"hash\":\"", entry_event_name(entry->event), middle);
    struct hash_text hash = chain_hash(zeros, expected.text, expected.length);
    buf_printf(&expected, "%s\"}\n", hash.text);
    ck_assert_str_eq(text.text, expected.text);
    buf_free(&text);
    buf_free(&expected);
}

/* The format: a change here is a change of what auditors read. */
START_TEST(each_event_is_written_as_the_manual_says) {
    assert_line(&(struct entry){.event = ENTRY_START, .version = "0.1.0"}, "\"version\":\"0.1.0\",\"keys\":[]");
    static const char *const texts[] = {"one+12345678+AQ==", "two"};
    assert_line(&(struct entry){.event = ENTRY_START, .version = "0.1.0", .keys = texts, .n_keys = 2},
                "\"version\":\"0.1.0\",\"keys\":[\"one+12345678+AQ==\",\"two\"]");
    assert_line(&(struct entry){.event = ENTRY_SEGMENT, .origin = "o", .previous = zeros, .frontier = texts, .n_frontier = 1},
                "\"origin\":\"o\",\"previous\":\"0000000000000000000000000000000000000000000000000000000000000000\","
                "\"frontier\":[\"one+12345678+AQ==\"]");
    assert_line(&(struct entry){.event = ENTRY_CHECKPOINT, .origin = "o", .size = 41, .root = "r=", .signatures = texts, .n_signatures = 2},
                "\"origin\":\"o\",\"size\":41,\"root\":\"r=\",\"signatures\":[\"one+12345678+AQ==\",\"two\"]");
    static const struct entry_removed removed[] = {{"journal-000000000001.jsonl", 1, 20, "ab", "cd="}};
    assert_line(&(struct entry){.event = ENTRY_PRUNE, .removed = removed, .n_removed = 1},
                "\"removed\":[{\"file\":\"journal-000000000001.jsonl\",\"first_seq\":1,\"last_seq\":20,\"sha256\":\"ab\",\"root\":\"cd=\"}]");
    assert_line(&(struct entry){.event = ENTRY_STOP, .trigger = "signal"}, "\"trigger\":\"signal\"");
    static const struct entry_rule rules[] = {{"A", "7 years", NULL, "1 year", "Tax"}, {"B", "forever", "14 months", NULL, "\"x\"\n"}};
    assert_line(&(struct entry){.event = ENTRY_SCHEDULE, .schedule = "ab", .rules = rules, .n_rules = 2},
                "\"schedule\":\"ab\",\"rules\":[{\"data\":\"A\",\"keep\":\"7 years\",\"anonymize\":null,\"at_least\":\"1 year\",\"basis\":\"Tax\"},"
                "{\"data\":\"B\",\"keep\":\"forever\",\"anonymize\":\"14 months\",\"at_least\":null,\"basis\":\"\\\"x\\\"\\n\"}]");
    assert_line(&(struct entry){.event = ENTRY_SWEEP_BEGIN, .sweep = 7, .trigger = "timer", .tenants_total = 9},
                "\"sweep\":7,\"trigger\":\"timer\",\"tenants_total\":9");
    static const struct entry_result results[] = {{"A", 1, 2, 3, 4, 5, -1, 7}};
    assert_line(&(struct entry){.event = ENTRY_SWEEP_END, .sweep = 7, .outcome = "done", .results = results, .n_results = 1},
                "\"sweep\":7,\"outcome\":\"done\",\"results\":[{\"data\":\"A\",\"purged\":1,\"anonymized\":2,\"dependents\":3,\"blocked\":4,"
                "\"undecidable\":5,\"left\":-1,\"lag_us\":7}]");
    struct entry intent = an_intent(7, 31);
    assert_line(&intent, "\"sweep\":7,\"batch\":31,\"rule\":\"Billing Records\",\"store\":\"main\",\"target\":\"invoices\",\"action\":\"purge\","
                         "\"from\":\"issued_on\",\"tenants\":[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]],\"records\":1000,\"dependents\":5213,"
                         "\"mode\":\"each\",\"evidence\":null,\"transaction\":\"771\",\"server\":\"2026-11-22T08:00:00Z\","
                         "\"schedule\":\"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9\"");
    static const struct entry_tenant none[] = {{"", 5, TIME_FOREVER}};
    intent.tenants = none, intent.transaction = "", intent.server = NULL, intent.range = true, intent.evidence = long_hash, intent.from = NULL;
    assert_line(&intent, "\"sweep\":7,\"batch\":31,\"rule\":\"Billing Records\",\"store\":\"main\",\"target\":\"invoices\",\"action\":\"purge\","
                         "\"from\":null,\"tenants\":[[\"\",5,null]],\"records\":1000,\"dependents\":5213,\"mode\":\"range\","
                         "\"evidence\":\"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9\","
                         "\"schedule\":\"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9\"");
    struct entry outcome = an_outcome(7, 31, "settled");
    outcome.result = "committed", outcome.code = "unknown", outcome.detail = "08006";
    assert_line(&outcome, "\"sweep\":7,\"batch\":31,\"outcome\":\"settled\",\"result\":\"committed\",\"records\":1000,\"dependents\":5213,"
                          "\"code\":\"unknown\",\"detail\":\"08006\"");
    assert_line(&(struct entry){.event = ENTRY_FINDING, .code = "clock", .count = 1},
                "\"sweep\":0,\"code\":\"clock\",\"rule\":null,\"store\":null,\"target\":null,\"tenant\":null,\"count\":1");
    assert_line(&(struct entry){.event = ENTRY_WAIT, .sweep = 7, .code = "replica-lag", .store = "main", .placed_us = 0},
                "\"sweep\":7,\"store\":\"main\",\"code\":\"replica-lag\",\"since\":\"1970-01-01T00:00:00.000000Z\"");
    assert_line(&(struct entry){.event = ENTRY_APPROVE, .id = "a", .outcome = "placed", .author = 7, .digest = "ab", .placed_us = 0, .request = "cd"},
                "\"id\":\"a\",\"outcome\":\"placed\",\"author\":7,\"rule\":null,\"tenant\":null,\"digest\":\"ab\",\"since\":\"1970-01-01T00:00:00.000000Z\",\"request\":\"cd\"");
    assert_line(&(struct entry){.event = ENTRY_CLOCK, .id = "c", .author = 7, .placed_us = 0, .request = "cd"},
                "\"id\":\"c\",\"author\":7,\"latest\":\"1970-01-01T00:00:00.000000Z\",\"request\":\"cd\"");
    assert_line(&(struct entry){.event = ENTRY_RECOVER, .cut_bytes = 3, .cut_sha256 = "ab"}, "\"cut_bytes\":3,\"cut_sha256\":\"ab\",\"cut_file\":null");
}
END_TEST

static struct entry_line read_back(const struct buf *text, size_t from, struct arena *arena) {
    struct entry_line line;
    struct err err;
    const char *feed = strchr(text->text + from, '\n');
    ck_assert_msg(!entry_read(text->text + from, (size_t)(feed - text->text) - from, arena, &line, &err), "%s\n%s", err.text, text->text + from);
    return line;
}

static const char *const awkward[] = {"", "\"\\\n\t\r\x01\x1f\x7f", "größe 表", "a\xff\xfe z", "\\u0041", "x}],\"hash\":\"", NULL};

START_TEST(what_is_written_is_read_back) {
    struct arena *arena = arena_new();
    for (enum entry_event event = 0; event < ENTRY_EVENTS; event++) {
        for (size_t i = 0; i < sizeof awkward / sizeof *awkward; i++) {
            const char *text = awkward[i];
            const struct entry_tenant tenants[] = {{text, INT64_MIN, 0}, {"7", INT64_MAX, INT64_C(253402300799999999)}};
            const struct entry_rule rules[] = {{text, text, text, text, text}, {"A", "b", NULL, NULL, "c"}};
            const struct entry_result results[] = {{text, 1, 2, 3, 4, 5, -1, 0}, {"A", 0, 0, 0, 0, 0, 0, 0}};
            const struct entry entry = {.event = event, .time_us = -1, .sweep = 1, .batch = 2, .version = text, .trigger = text, .schedule = text,
                                        .rules = rules, .n_rules = i % 3, .rule = text, .store = text, .target = text, .action = text,
                                        .from = text, .tenants = tenants, .n_tenants = i % 3, .records = -1, .range = i % 2, .evidence = text,
                                        .transaction = text, .server = text, .outcome = text, .result = text, .code = text, .detail = text,
                                        .tenant = text, .results = results, .n_results = i % 3, .cut_sha256 = text, .cut_file = text};
            struct buf first = written(&entry, 1, 1);
            arena_clear(arena);
            struct entry_line line = read_back(&first, 0, arena);
            ck_assert_int_eq(line.seq, 1);
            ck_assert_int_eq(line.part, 1);
            ck_assert_int_eq(line.parts, 1);
            ck_assert_int_eq(line.entry.event, event);
            ck_assert_str_eq(chain_hash(zeros, first.text, line.hashed).text, line.hash);
            struct buf second = written(&line.entry, 1, 1); /* what was read writes the same line */
            ck_assert_str_eq(first.text, second.text);
            buf_free(&first);
            buf_free(&second);
        }
    }
    arena_free(arena);
}
END_TEST

START_TEST(an_entry_too_long_for_a_line_becomes_several) {
    enum { TENANTS = 3000 };
    static struct entry_tenant tenants[TENANTS];
    static char ids[TENANTS][16];
    for (int i = 0; i < TENANTS; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "tenant %d", i);
        tenants[i] = (struct entry_tenant){ids[i], i, i};
    }
    struct entry intent = an_intent(1, 1);
    intent.tenants = tenants;
    struct arena *arena = arena_new();
    size_t lines_before = 1;
    for (size_t n = 0; n <= TENANTS; n += n < 400 ? 1 : 650) {
        intent.n_tenants = n;
        struct buf text = {.text = NULL};
        char hash[ENTRY_HASH_HEX + 1];
        memcpy(hash, zeros, sizeof hash);
        size_t lines = entry_write(&text, &intent, 100, hash), from = 0, seen = 0;
        ck_assert_uint_ge(lines, lines_before);
        lines_before = lines;
        arena_clear(arena);
        for (size_t part = 1; part <= lines; part++) {
            struct entry_line line = read_back(&text, from, arena);
            size_t length = (size_t)(strchr(text.text + from, '\n') - text.text) + 1 - from;
            ck_assert_uint_le(length, ENTRY_MOST_BYTES);
            ck_assert(part == lines || length > ENTRY_MOST_BYTES - 400); /* no line is wasted */
            ck_assert_int_eq(line.seq, 99 + (int64_t)part);
            ck_assert_int_eq(line.part, (int64_t)part);
            ck_assert_int_eq(line.parts, (int64_t)lines);
            for (size_t i = 0; i < line.entry.n_tenants; i++) ck_assert_str_eq(line.entry.tenants[i].id, ids[seen++]);
            from += length;
        }
        ck_assert_uint_eq(from, text.length);
        ck_assert_uint_eq(seen, n);
        buf_free(&text);
    }
    ck_assert_uint_gt(lines_before, 5);
    arena_free(arena);
}
END_TEST

/* However long the texts are: a line never exceeds its limit, is UTF-8, and can be read. */
START_TEST(texts_too_long_are_cut) {
    static char text[100001];
    static const char *const units[] = {"x", "ä", "表", "\x01", "\xff"};
    struct arena *arena = arena_new();
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        text[0] = '\0';
        size_t unit = strlen(units[u]), length = 0;
        for (; length + unit < sizeof text; length += unit) memcpy(text + length, units[u], unit + 1);
        const struct entry_tenant tenants[] = {{text, 1, 0}, {text, 2, 0}};
        const struct entry_rule rules[] = {{text, text, text, text, text}, {text, text, text, text, text}};
        const struct entry_result results[] = {{text, 1, 2, 3, 4, 5, -1, 0}};
        for (enum entry_event event = 0; event < ENTRY_EVENTS; event++) {
            const struct entry entry = {.event = event, .version = text, .trigger = text, .schedule = text, .rules = rules, .n_rules = 2,
                                        .rule = text, .store = text, .target = text, .action = text, .from = text, .tenants = tenants,
                                        .n_tenants = 2, .evidence = text, .transaction = text, .server = text, .outcome = text, .result = text,
                                        .code = text, .detail = text, .tenant = text, .results = results, .n_results = 1, .cut_sha256 = text,
                                        .cut_file = text};
            struct buf line = {.text = NULL};
            char hash[ENTRY_HASH_HEX + 1];
            memcpy(hash, zeros, sizeof hash);
            size_t lines = entry_write(&line, &entry, ENTRY_MOST_SEQ - 9, hash), from = 0;
            arena_clear(arena);
            for (size_t i = 0; i < lines; i++) {
                (void)read_back(&line, from, arena);
                size_t next = (size_t)(strchr(line.text + from, '\n') - line.text) + 1;
                ck_assert_uint_le(next - from, ENTRY_MOST_BYTES);
                from = next;
            }
            ck_assert_uint_eq(from, line.length);
            buf_free(&line);
        }
    }
    arena_free(arena);
}
END_TEST

UNIT_MAIN("entry", each_event_is_written_as_the_manual_says, what_is_written_is_read_back, an_entry_too_long_for_a_line_becomes_several,
          texts_too_long_are_cut)
