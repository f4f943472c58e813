/* Lines that were altered by somebody who made all hashes behind them right again, and all signatures too where he has the
 * key: only the format is left to tell them, and both verifiers must read it alike. */
#include "agree.h"

#include "base/period.h"

/* What is hashed of each line of the open segment: all but the hash and the line's end. */
enum { MOST_LINES = 40, BEHIND_HASHED = ENTRY_HASH_HEX + sizeof "\"}" - 1 };
static struct buf hashed[MOST_LINES];
static size_t n_lines;

static void free_lines(void) {
    for (size_t i = 0; i < n_lines; i++) buf_free(&hashed[i]);
    n_lines = 0;
}

static void read_lines(void) {
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    free_lines();
    for (const char *line = bytes, *end; (end = memchr(line, '\n', (size_t)(bytes + length - line))); line = end + 1) {
        ck_assert_uint_lt(n_lines, MOST_LINES);
        hashed[n_lines] = (struct buf){.text = NULL};
        buf_add_n(&hashed[n_lines++], line, (size_t)(end - line) - BEHIND_HASHED);
    }
    free(bytes);
}

/* Another text for `from` in a line; the first place. */
static void replace(size_t line, const char *from, const char *to) {
    struct buf edited = {.text = NULL};
    const char *at = strstr(hashed[line].text, from);
    ck_assert_msg(at != NULL, "%s is not in %s", from, hashed[line].text);
    buf_add_n(&edited, hashed[line].text, (size_t)(at - hashed[line].text));
    buf_printf(&edited, "%s%s", to, at + strlen(from));
    buf_free(&hashed[line]);
    hashed[line] = edited;
}

static size_t line_with(const char *text) {
    size_t i = 0;
    while (!strstr(hashed[i].text, text)) ck_assert_uint_lt(++i, n_lines);
    return i;
}

/* The line and the file `checkpoint`, signed anew for the entries before it. */
static void sign_again(struct buf *line, const struct merkle_tree *tree) {
    struct buf note = {.text = NULL}, signature = {.text = NULL};
    struct merkle_hash root = merkle_root(tree);
    struct err err;
    note_add_text(&note, keys.items[0].name, tree->size, &root);
    ck_assert_int_eq(signer_sign(signers.items[0], &note, &signature, &err), 0);
    static const char before[] = "\"root\":\"";
    line->length = (size_t)(strstr(line->text, before) + sizeof before - 1 - line->text);
    const char *base64 = strrchr(strchr(note.text, '\n') + 1, '=');
    while (base64[-1] != '\n') base64--;
    buf_add_n(line, base64, strcspn(base64, "\n"));
    buf_add(line, "\",\"signatures\":[");
    buf_add_json(line, signature.text);
    buf_add(line, "],\"hash\":\"");
    buf_printf(&note, "\n%s\n", signature.text);
    folder_write("checkpoint", note.text, note.length);
    buf_free(&note);
    buf_free(&signature);
}

/* Puts the lines back with the hashes that belong to them. The journal begins with them, and with what they say stood before. */
static void write_lines(bool sign) {
    struct buf text = {.text = NULL};
    struct position at = chain_start();
    struct merkle_tree tree = {.size = 0};
    const char *previous = strstr(buf_text(&hashed[0]), "\"previous\":\"");
    if (previous && strlen(previous) > ENTRY_HASH_HEX + strlen("\"previous\":\"")) memcpy(at.hash.text, previous + strlen("\"previous\":\""), ENTRY_HASH_HEX);
    for (size_t i = 0; i < n_lines; i++) {
        size_t start = text.length;
        if (sign && strstr(hashed[i].text, "\"event\":\"checkpoint\"")) sign_again(&hashed[i], &tree);
        at.hash = chain_hash(at.hash.text, hashed[i].text, hashed[i].length);
        buf_add_n(&text, hashed[i].text, hashed[i].length);
        buf_printf(&text, "%s\"}\n", at.hash.text);
        struct merkle_hash leaf = merkle_leaf(text.text + start, text.length - start - 1);
        merkle_append(&tree, &leaf);
    }
    folder_write("journal.jsonl", text.text, text.length);
    buf_free(&text);
}

enum { LONGEST_TEXT = 1500 }; /* with its quotes */
static char fits_just[LONGEST_TEXT + 16], too_long[LONGEST_TEXT + 16];

/* In the intent: what stands there, what is put in its place, and whether that is an entry still. */
static const struct edit { const char *what, *from, *to; bool entry; } edits[] = {
    {"another number", "\"records\":1000,", "\"records\":1001,", true},
    {"the least number", "\"records\":1000,", "\"records\":-9223372036854775808,", true},
    {"the largest number", "\"records\":1000,", "\"records\":9223372036854775807,", true},
    {"null where it may be", "\"from\":\"issued_on\"", "\"from\":null", true},
    {"fields that may be left out", ",\"transaction\":\"771\",\"server\":\"2026-11-22T08:00:00Z\"", "", true},
    {"one of them", ",\"transaction\":\"771\"", "", true},
    {"escapes that the daemon uses", "Billing", "\\\"\\\\\\n\\t\\u0001\\u001f\\u007f", true},
    {"other scripts", "Billing", "Ünïcode \xe2\x80\xa8 \xf0\x9f\x93\x84", true},
    {"the longest text", "\"Billing Records\"", fits_just, true},
    {"no tenants", "[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]]", "[]", true},
    {"two tenants", "[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]]", "[[\"\",1000,null],[\"7\",0,null]]", true},
    {"a leap day", "2019-11-23", "2000-02-29", true},
    {"the year 0", "2019-11-23", "0000-02-29", true},
    {"a part", ",\"hash\":\"", ",\"part\":2,\"parts\":2,\"hash\":\"", true},
    {"the other mode", "\"each\"", "\"range\"", true},

    {"a further field", ",\"records\":1000", ",\"who\":\"jane@example.com\",\"records\":1000", false},
    {"a further field at the end", ",\"hash\":\"", ",\"who\":\"jane@example.com\",\"hash\":\"", false},
    {"a further field at the beginning", "{\"v\":1", "{\"who\":\"jane@example.com\",\"v\":1", false},
    {"two hashes", ",\"hash\":\"", ",\"hash\":\"00\",\"hash\":\"", false},
    {"a space", ",\"records\":1000", ", \"records\":1000", false},
    {"a space after a colon", "\"records\":1000", "\"records\": 1000", false},
    {"a space at the beginning", "{\"v\":1", " {\"v\":1", false},
    {"a carriage return", ",\"records\":1000", ",\r\"records\":1000", false},
    {"a missing field", ",\"dependents\":5213", "", false},
    {"a missing time", "\"time\":", "\"tine\":", false},
    {"no number of its own", "\"v\":1,\"seq\":", "\"v\":1,\"sequence\":", false},
    {"another order", "\"sweep\":1,\"batch\":1", "\"batch\":1,\"sweep\":1", false},
    {"another order of those that may be left out", "\"transaction\":\"771\",\"server\":\"2026-11-22T08:00:00Z\"",
     "\"server\":\"2026-11-22T08:00:00Z\",\"transaction\":\"771\"", false},
    {"a field twice", "\"sweep\":1", "\"sweep\":1,\"sweep\":1", false},
    {"another version", "\"v\":1", "\"v\":2", false},
    {"a version as text", "\"v\":1", "\"v\":\"1\"", false},
    {"true as version", "\"v\":1", "\"v\":true", false},
    {"an unknown event", "\"event\":\"intent\"", "\"event\":\"intents\"", false},
    {"another event", "\"event\":\"intent\"", "\"event\":\"outcome\"", false},
    {"an event that is a list", "\"event\":\"intent\"", "\"event\":[\"intent\"]", false},
    {"month 13", "2019-11-23", "2019-13-23", false},
    {"month 0", "2019-11-23", "2019-00-23", false},
    {"31 February", "2019-11-23", "2019-02-31", false},
    {"29 February of no leap year", "2019-11-23", "2019-02-29", false},
    {"29 February 1900", "2019-11-23", "1900-02-29", false},
    {"hour 24", "T01:00:00.000000Z", "T24:00:00.000000Z", false},
    {"a leap second", "T01:00:00.000000Z", "T23:59:60.000000Z", false},
    {"another zone", "T01:00:00.000000Z", "T01:00:00.000000+00:00", false},
    {"fewer digits of a second", "T01:00:00.000000Z", "T01:00:00.000Z", false},
    {"digits of another script", "2019-11-23", "\xd9\xa2\xd9\xa0\xd9\xa1\xd9\xa9-11-23", false},
    {"an instant as number", "\"2019-11-23T01:00:00.000000Z\"", "1574470800", false},
    {"a needless escape", "\"purge\"", "\"\\u0070urge\"", false},
    {"an escaped solidus", "\"purge\"", "\"pur\\/ge\"", false},
    {"a line feed by its number", "\"purge\"", "\"purge\\u000a\"", false},
    {"a backspace by its letter", "\"purge\"", "\"purge\\b\"", false},
    {"an escape in capitals", "\"purge\"", "\"purge\\u007F\"", false},
    {"an escaped NUL", "\"purge\"", "\"purge\\u0000\"", false},
    {"a raw control character", "\"purge\"", "\"purge\x01\"", false},
    {"a raw delete", "\"purge\"", "\"purge\x7f\"", false},
    {"a byte that is no UTF-8", "\"purge\"", "\"purge\xff\"", false},
    {"an overlong sequence", "\"purge\"", "\"purge\xc0\xaf\"", false},
    {"a surrogate", "\"purge\"", "\"purge\xed\xa0\x80\"", false},
    {"an escaped surrogate", "\"purge\"", "\"purge\\ud800\"", false},
    {"a text that is too long", "\"Billing Records\"", too_long, false},
    {"a number as text", "\"records\":1000,\"dep", "\"records\":\"1000\",\"dep", false},
    {"a float", "\"records\":1000,\"dep", "\"records\":1000.0,\"dep", false},
    {"an exponent", "\"records\":1000,\"dep", "\"records\":1e3,\"dep", false},
    {"a huge number", "\"records\":1000,\"dep", "\"records\":99999999999999999999,\"dep", false},
    {"one more than the largest number", "\"records\":1000,\"dep", "\"records\":9223372036854775808,\"dep", false},
    {"minus zero", "\"records\":1000,\"dep", "\"records\":-0,\"dep", false},
    {"a leading zero", "\"records\":1000,\"dep", "\"records\":01000,\"dep", false},
    {"a plus sign", "\"records\":1000,\"dep", "\"records\":+1000,\"dep", false},
    {"no number", "\"records\":1000,\"dep", "\"records\":NaN,\"dep", false},
    {"truth as number", "\"records\":1000,\"dep", "\"records\":true,\"dep", false},
    {"null as number", "\"records\":1000,\"dep", "\"records\":null,\"dep", false},
    {"a nested value", "\"records\":1000,\"dep", "\"records\":{\"a\":1000},\"dep", false},
    {"a list as number", "\"records\":1000,\"dep", "\"records\":[1000],\"dep", false},
    {"null as text", "\"rule\":\"Billing Records\"", "\"rule\":null", false},
    {"a number as rule", "\"rule\":\"Billing Records\"", "\"rule\":7", false},
    {"an empty text that may be left out", "\"transaction\":\"771\"", "\"transaction\":\"\"", false},
    {"null in a text that may be left out", "\"transaction\":\"771\"", "\"transaction\":null", false},
    {"an unknown mode", "\"each\"", "\"all\"", false},
    {"no mode", "\"each\"", "null", false},
    {"a triple of two", "[\"1042\",1000,", "[\"1042\",", false},
    {"a triple of four", "[\"1042\",1000,", "[\"1042\",1000,1000,", false},
    {"an object as triple", "[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]", "{\"id\":\"1042\"}", false},
    {"null as list", "[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]]", "null", false},
    {"a comma too many", "[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"]]", "[[\"1042\",1000,\"2019-11-23T01:00:00.000000Z\"],]", false},
    {"part 5 of 2", ",\"hash\":\"", ",\"part\":5,\"parts\":2,\"hash\":\"", false},
    {"part 1 of 1", ",\"hash\":\"", ",\"part\":1,\"parts\":1,\"hash\":\"", false},
    {"part 0 of 2", ",\"hash\":\"", ",\"part\":0,\"parts\":2,\"hash\":\"", false},
    {"a part without parts", ",\"hash\":\"", ",\"part\":1,\"hash\":\"", false},
    {"parts without a part", ",\"hash\":\"", ",\"parts\":2,\"hash\":\"", false},
};

static void make_texts(void) {
    memset(fits_just, 'x', LONGEST_TEXT);
    memset(too_long, 'x', LONGEST_TEXT + 1);
    fits_just[0] = fits_just[LONGEST_TEXT - 1] = too_long[0] = too_long[LONGEST_TEXT] = '"';
}

/* Each edit of the intent in `line`, and what the journal is by it: `whole` where that is an entry still. */
static void edit_each(size_t line, bool sign, int whole) {
    make_texts();
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        read_lines();
        replace(line, edits[i].from, edits[i].to);
        write_lines(sign);
        both_say(edits[i].what, edits[i].entry ? whole : 1);
        restore();
    }
    free_lines();
}

/* An intent behind the last checkpoint of a whole journal. */
static void append_unsigned(void) {
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    struct entry intent = an_intent(1, 1);
    intent.time_us = time_now_us();
    struct buf open = {.text = NULL};
    size_t length;
    char *text = folder_read("journal.jsonl", &length), hash[ENTRY_HASH_HEX + 1];
    memcpy(hash, answer.scan.last.hash.text, sizeof hash);
    buf_add_n(&open, text, length);
    ck_assert_uint_eq(entry_write(&open, &intent, answer.scan.last.seq + 1, hash), 1);
    folder_write("journal.jsonl", open.text, open.length);
    free(text);
    buf_free(&open);
}

START_TEST(both_verifiers_read_lines_alike_behind_the_last_checkpoint) {
    signed_setup();
    write_signed(1);
    append_unsigned();
    remember();
    both_say("whole", 2);
    read_lines();
    edit_each(n_lines - 1, false, 2);
    forget();
}
END_TEST

START_TEST(both_verifiers_read_lines_alike_that_are_signed) {
    signed_setup();
    write_signed(1);
    take_signers();
    remember();
    both_say("whole", 0);
    read_lines();
    edit_each(line_with("\"event\":\"intent\""), true, 0);
    signers_free(&signers);
    forget();
}
END_TEST

/* What a segment entry says stood before it: nothing before the first. */
START_TEST(both_verifiers_know_that_nothing_stands_before_the_first_entry) {
    signed_setup();
    write_signed(1);
    take_signers();
    remember();
    static const char *const starts[][2] = {{"\"previous\":\"0", "\"previous\":\"1"}, {"\"previous\":\"0", "\"previous\":\"A"}, {"\"frontier\":[]", "\"frontier\":[\"00\"]"},
                                            {"\"origin\":\"", "\"origin\":\"+"}, {"\"origin\":\"", "\"origin\":\"x"}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        read_lines();
        replace(0, starts[i][0], starts[i][1]);
        write_lines(true);
        both_say(starts[i][1], 1);
        restore();
    }
    free_lines();
    signers_free(&signers);
    forget();
}
END_TEST

/* Lines as long as they may be, and a byte longer. */
START_TEST(both_verifiers_know_how_long_a_line_may_be) {
    signed_setup();
    write_signed(1);
    take_signers();
    remember();
    read_lines();
    size_t line = line_with("\"event\":\"intent\"");
    struct buf tenants = {.text = NULL};
    buf_add(&tenants, "\"tenants\":[");
    while (hashed[line].length + tenants.length + 1300 < ENTRY_MOST_BYTES) buf_printf(&tenants, "[\"%0990d\",1,null],", 0);
    size_t rest = ENTRY_MOST_BYTES - 1 - hashed[line].length - tenants.length - BEHIND_HASHED - strlen("[\"\",1,null],") + strlen("\"tenants\":[");
    for (size_t more = 0; more < 2; more++) {
        struct buf all = {.text = NULL};
        buf_printf(&all, "%s[\"%0*d\",1,null],", tenants.text, (int)(rest + more), 0);
        read_lines();
        replace(line, "\"tenants\":[", all.text);
        ck_assert_uint_eq(hashed[line].length + BEHIND_HASHED, ENTRY_MOST_BYTES - 1 + more);
        write_lines(true);
        both_say(more ? "a byte longer" : "the longest line", more ? 1 : 0);
        restore();
        buf_free(&all);
    }
    buf_free(&tenants);
    free_lines();
    signers_free(&signers);
    forget();
}
END_TEST

/* A bit of a checkpoint's entry, with the hashes made right again: whose it is then, or whether it is forged, both must say alike. */
START_TEST(both_verifiers_read_damaged_checkpoints_alike) {
    enum { STEP = 3 }; /* the other one starts an openssl for most */
    signed_setup();
    write_signed(1);
    remember();
    read_lines();
    size_t line = n_lines - 1, counts[4] = {0};
    ck_assert_ptr_nonnull(strstr(hashed[line].text, "\"event\":\"checkpoint\""));
    size_t time = (size_t)(strstr(hashed[line].text, "\"time\":\"") - hashed[line].text) + strlen("\"time\":\"");
    for (size_t bit = 0; bit < hashed[line].length * 8; bit += STEP) {
        bool in_time = bit / 8 >= time && bit / 8 < time + strlen("2026-11-23T01:00:00.123456Z"); /* all that the last checkpoint leaves open */
        hashed[line].text[bit / 8] ^= (char)(1 << bit % 8);
        write_lines(false);
        int ours = (int)verify(&keys, NULL), other = python_says(NULL, NULL);
        ck_assert_msg(ours == other && (ours > 0 || in_time), "bit %zu of byte %zu: we say %d (%s%s), the other says %d: %s", bit % 8, bit / 8, ours, answer.scan.first_fault, answer.why,
                      other, hashed[line].text);
        counts[ours]++;
        hashed[line].text[bit / 8] ^= (char)(1 << bit % 8);
    }
    ck_assert(counts[VERIFY_ALTERED] && counts[VERIFY_UNSIGNED]);
    write_lines(false);
    both_say("whole again", 0);
    free_lines();
    forget();
}
END_TEST

static void both_say_of_age(const char *most_age, int expected) {
    struct period period;
    struct err err;
    ck_assert_int_eq(period_parse(most_age, &period, &err), 0);
    int ours = (int)verify_aged(&keys, NULL, period_after(0, period)), other = python_says(NULL, most_age);
    ck_assert_msg(ours == expected && other == expected, "%s: %d expected, we say %d (%s), the other says %d", most_age, expected, ours, answer.why, other);
}

/* A journal whose last signed entry is ten years old. */
START_TEST(both_verifiers_heed_how_old_it_may_be) {
    signed_setup();
    write_signed(1);
    take_signers();
    both_say_of_age("1 hour", 0);
    read_lines();
    char long_ago[24], this_year[24];
    int64_t year = time_to_civil(time_now_us()).year;
    (void)snprintf(this_year, sizeof this_year, "\"time\":\"%04d", (int)year);
    (void)snprintf(long_ago, sizeof long_ago, "\"time\":\"%04d", (int)year - 10);
    for (size_t i = 0; i < n_lines; i++) replace(i, this_year, long_ago);
    write_lines(true);
    both_say("old", 0);
    static const char *const too_short[] = {"1 second", "50 minutes", " 3 hours ", "1day", "52 weeks", "119 months", "9 years"}, *const enough[] = {"4000 days", "600 weeks", "122 months", "11 years", "1000 years"};
    for (size_t i = 0; i < sizeof too_short / sizeof *too_short; i++) both_say_of_age(too_short[i], 3);
    for (size_t i = 0; i < sizeof enough / sizeof *enough; i++) both_say_of_age(enough[i], 0);
    append_unsigned();
    both_say("with an end that is not signed", 2);
    both_say_of_age("9 years", 3);
    both_say_of_age("11 years", 2);
    const struct note_keys known = keys;
    keys.count = 0;
    (void)snprintf(vkeys, sizeof vkeys, "/dev/null");
    both_say_of_age("9 years", 2); /* nothing is signed, for all that is known */
    keys = known;
    *vkeys = '\0';
    read_lines();
    replace(n_lines - 1, "1000", "1000.0");
    write_lines(false);
    both_say_of_age("9 years", 1);
    static const char *const wrong[] = {"3", "0 days", "-1 day", "1 parsec", "1001 years", "12001 months", "1.5 hours", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct period period;
        struct err err;
        ck_assert_int_eq(period_parse(wrong[i], &period, &err), -1);
        ck_assert_int_eq(python_says(NULL, wrong[i]), 64);
    }
    free_lines();
    signers_free(&signers);
    signed_remove();
}
END_TEST

/* ---- every event, damaged at every byte ---- */

static const char some_hash[] = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
static const char some_root[] = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

/* An entry with something in every field, whatever its event. */
static struct entry full_entry(enum entry_event event) {
    static const char *const texts[] = {"a/b", "\"\xc3\xa9\n"};
    static const struct entry_rule rules[] = {{"A", "7 years", NULL, "1 year", "Tax"}};
    static const struct entry_result results[] = {{"A", 1, 2, 3, 4, 5, -1, 7}};
    static const struct entry_removed removed[] = {{"journal-000000000001.jsonl", 1, 20, some_hash, some_root}};
    struct entry entry = an_intent(7, 31);
    entry.event = event;
    entry.time_us = INT64_C(1795395600123456);
    entry.version = "0.1.0", entry.trigger = "once", entry.tenants_total = 12, entry.outcome = "settled", entry.result = "committed";
    entry.code = "since-empty", entry.detail = "08006", entry.tenant = "1042", entry.count = 9, entry.evidence = some_hash;
    entry.cut_bytes = 3, entry.cut_sha256 = some_hash, entry.cut_file = "torn-000000000042-5feceb66", entry.origin = "lapsed/test";
    entry.previous = "0000000000000000000000000000000000000000000000000000000000000000", entry.size = 1, entry.root = some_root;
    entry.id = "h1", entry.author = -1, entry.request = some_hash, entry.scope = "subtree", entry.ground = "legal", entry.digest = some_hash;
    entry.placed_us = 0, entry.released_us = TIME_FOREVER, entry.hold = "h0";
    entry.keys = entry.members = texts, entry.n_keys = entry.n_members = 2;
    entry.rules = rules, entry.n_rules = 1, entry.results = results, entry.n_results = 1, entry.removed = removed, entry.n_removed = 1;
    return entry;
}

/* A segment entry and this one. */
static void write_two(enum entry_event event) {
    struct buf text = {.text = NULL};
    struct position at = chain_start();
    struct entry segment = full_entry(ENTRY_SEGMENT), entry = full_entry(event == ENTRY_SEGMENT ? ENTRY_STOP : event);
    ck_assert_uint_eq(entry_write(&text, &segment, 1, at.hash.text), 1);
    struct merkle_hash leaf = merkle_leaf(text.text, text.length - 1), root;
    struct merkle_tree tree = {.size = 0};
    merkle_append(&tree, &leaf);
    root = merkle_root(&tree);
    struct buf note = {.text = NULL}, signature = {.text = NULL}; /* by a key that neither verifier is given */
    const unsigned char id[4] = "\x01\x02\x03\x04", bytes[64] = "";
    note_add_text(&note, "", 0, &root);
    note_add_signature(&signature, "lapsed/test", id, bytes);
    note.text[note.length - 1] = '\0';
    const char *const signatures[] = {signature.text};
    entry.root = strrchr(note.text, '\n') + 1, entry.signatures = signatures, entry.n_signatures = 1;
    ck_assert_uint_eq(entry_write(&text, &entry, 2, at.hash.text), 1);
    folder_write("journal.jsonl", text.text, text.length);
    buf_free(&text);
    buf_free(&note);
    buf_free(&signature);
}

/* The line with `removed` bytes at `at` replaced by a text. */
static void damage(struct buf *line, size_t at, size_t removed, const char *text) {
    struct buf edited = {.text = NULL};
    buf_add_n(&edited, line->text, at);
    buf_add(&edited, text);
    if (at + removed < line->length) buf_add_n(&edited, line->text + at + removed, line->length - at - removed);
    buf_free(line);
    *line = edited;
}

static void assert_alike(enum entry_event event, size_t at, size_t damage_of) {
    int ours = (int)verify(&keys, NULL), other = python_says(NULL, NULL);
    ck_assert_msg(ours == other && (ours == 1 || ours == 2), "%s, damage %zu at byte %zu: we say %d (%s), the other says %d: %s", entry_event_name(event),
                  damage_of, at, ours, answer.scan.first_fault, other, hashed[event == ENTRY_SEGMENT ? 0 : 1].text);
}

START_TEST(both_verifiers_agree_at_every_byte_of_every_event) {
    static const struct { size_t removed; const char *text; } damages[] = {
        {1, ""}, {0, "0"}, {1, "0"}, {0, " "}, {0, "\""}, {1, "9"}, {0, ","}, {0, "\\"}, {1, "\\n"}, {0, "\x7f"}, {1, "\xc3"}, {0, "\\u0001"}, {0, "-"},
        {2, ""}, {0, "[]"}, {0, "{}"}, {0, "."}, {0, "e1"}, {1, "null"}, {0, "\n"}, {0, "\xc3\xa9"}, {1, "Z"}, {0, "\\u0041"}, {1, "\""}, {0, ",\"part\":1,\"parts\":2"},
        {0, "\t"}, {1, "_"}, {3, ""}, {0, "\r"}, {1, "A"}};
    enum { DAMAGES = sizeof damages / sizeof *damages };
    signed_setup();
    (void)snprintf(vkeys, sizeof vkeys, "/dev/null");
    size_t kind = 0;
    for (enum entry_event event = 0; event < ENTRY_EVENTS; event++) {
        size_t line = event == ENTRY_SEGMENT ? 0 : 1;
        write_two(event);
        both_say(entry_event_name(event), 2);
        read_lines();
        for (size_t i = 0, length = hashed[line].length; i < 2 * length; i++, kind = (kind + 7) % DAMAGES) {
            size_t at = i / 2;
            read_lines();
            damage(&hashed[line], at, damages[kind].removed, damages[kind].text);
            write_lines(false);
            assert_alike(event, at, kind);
            write_two(event);
        }
    }
    free_lines();
    *vkeys = '\0';
    signed_remove();
}
END_TEST

UNIT_MAIN("agree on lines", both_verifiers_read_lines_alike_behind_the_last_checkpoint, both_verifiers_read_lines_alike_that_are_signed,
          both_verifiers_know_that_nothing_stands_before_the_first_entry, both_verifiers_know_how_long_a_line_may_be,
          both_verifiers_read_damaged_checkpoints_alike, both_verifiers_heed_how_old_it_may_be, both_verifiers_agree_at_every_byte_of_every_event)
