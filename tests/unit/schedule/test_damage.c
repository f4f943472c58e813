/* A schedule that was cut or damaged anywhere loads or is refused with a fault; it never crashes (run with sanitizers). */
#include "unit/schedule/loading.h"

enum { FLIPS = 4000, MOST_BYTES = 1 << 16 };

struct text {
    char bytes[MOST_BYTES];
    size_t length;
};

static void read_text(const char *path, struct text *text) {
    char *bytes;
    struct err err;
    ck_assert_int_eq(text_read_file(path, MOST_BYTES, &bytes, &text->length, &err), 0);
    memcpy(text->bytes, bytes, text->length);
    free(bytes);
}

/* xorshift, so that every run is the same. */
static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void load_both(const struct text *main, const struct text *rules) {
    struct loading loading;
    loading_load_bytes(&loading, main->bytes, main->length, rules->bytes, rules->length, false);
    for (size_t i = 0; i < loading.faults.count; i++) {
        ck_assert(*loading.faults.items[i].text);
        ck_assert(text_is_utf8(loading.faults.items[i].text, strlen(loading.faults.items[i].text)));
    }
    loading_end(&loading);
}

static struct text main_text, rules_text, damaged;

static void read_example(void) {
    read_text("tests/unit/schedule/example/lapsed.conf", &main_text);
    read_text("tests/unit/schedule/example/schedule.conf", &rules_text);
}

START_TEST(cut_anywhere) {
    read_example();
    for (size_t length = 0; length < rules_text.length; length += 3) {
        damaged = rules_text;
        damaged.length = length;
        load_both(&main_text, &damaged);
    }
    for (size_t length = 0; length < main_text.length; length += 3) {
        damaged = main_text;
        damaged.length = length;
        load_both(&damaged, &rules_text);
    }
}
END_TEST

START_TEST(damaged_anywhere) {
    static const char letters[] = "\"\\;,(){}[]=:*+@/#\n 0a_";
    uint32_t state = 20261123;
    read_example();
    for (int i = 0; i < FLIPS; i++) {
        bool rules = i % 4;
        damaged = rules ? rules_text : main_text;
        for (uint32_t n = next_random(&state) % 4; n < 4; n++) {
            char *byte = &damaged.bytes[next_random(&state) % damaged.length];
            if (next_random(&state) % 3) *byte = letters[next_random(&state) % (sizeof letters - 1)];
            else *byte = (char)(*byte ^ (1 << next_random(&state) % 8));
        }
        load_both(rules ? &main_text : &damaged, rules ? &damaged : &rules_text);
    }
}
END_TEST

/* Words moved about, so that the grammar holds and the meaning does not. */
START_TEST(lines_in_any_order) {
    uint32_t state = 4711;
    read_example();
    for (int i = 0; i < FLIPS / 4; i++) {
        damaged = rules_text;
        const char *from = memchr(rules_text.bytes + next_random(&state) % (rules_text.length - 200), ';', 200);
        const char *to = memchr(rules_text.bytes + next_random(&state) % (rules_text.length - 200), ';', 200);
        if (!from || !to) continue;
        size_t length = 1 + next_random(&state) % 120;
        if (from + length > rules_text.bytes + rules_text.length) continue;
        memcpy(damaged.bytes + (to - rules_text.bytes), from, length);
        if (damaged.length < (size_t)(to - rules_text.bytes) + length) damaged.length = (size_t)(to - rules_text.bytes) + length;
        load_both(&main_text, &damaged);
    }
}
END_TEST

/* libconfig 1.5 leaks on some syntax errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libconfig.so"; }

UNIT_MAIN("schedule/damage", cut_anywhere, damaged_anywhere, lines_in_any_order)
