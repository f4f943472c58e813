#include "base/arena.h"
#include "base/text.h"
#include "temporary.h"
#include "unit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

START_TEST(json_strings_are_escaped_and_always_utf8) {
    struct buf buf = {0};
    buf_add_json(&buf, "a\"b\\c\n\t\x01 \xc3\xbc \xff\xc0\x80");
    ck_assert_str_eq(buf_text(&buf), "\"a\\\"b\\\\c\\n\\t\\u0001 \xc3\xbc \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_free(&buf);
}
END_TEST

START_TEST(a_buffer_stops_at_its_maximum) {
    struct buf buf = {.maximum = 10};
    buf_add(&buf, "12345");
    buf_add(&buf, "123456");
    ck_assert(buf.overflow);
    ck_assert_str_eq(buf_text(&buf), "12345");
    buf_free(&buf);
}
END_TEST

START_TEST(a_text_is_taken_whole_or_not_at_all) {
    struct buf buf = {.maximum = 7};
    buf_add_json(&buf, "12345");
    ck_assert_str_eq(buf_text(&buf), "\"12345\"");
    ck_assert(!buf.overflow);
    buf_clear(&buf);
    buf_add_json(&buf, "123456");
    ck_assert_str_eq(buf_text(&buf), "");
    ck_assert(buf.overflow);
    buf_clear(&buf);
    buf_add_json(&buf, "");
    ck_assert_str_eq(buf_text(&buf), "\"\"");
    ck_assert_uint_eq(buf.length, 2);
    buf_free(&buf);
}
END_TEST

/* As printf has them. */
START_TEST(integers_are_decimal) {
    struct buf buf = {0};
    for (int shift = 0; shift < 64; shift++)
        for (int64_t off = -1; off <= 1; off++)
            for (int sign = 0; sign < 2; sign++) {
                char expected[32];
                int64_t number = (int64_t)((UINT64_C(1) << shift) + (uint64_t)off);
                if (sign) number = (int64_t)-(uint64_t)number;
                (void)snprintf(expected, sizeof expected, "%" PRId64, number);
                buf_clear(&buf);
                buf_add_integer(&buf, number);
                ck_assert_str_eq(buf_text(&buf), expected);
                ck_assert_uint_eq(buf.length, strlen(expected));
            }
    buf_free(&buf);
}
END_TEST

START_TEST(numbers_are_grouped) {
    ck_assert_str_eq(text_number(0).text, "0");
    ck_assert_str_eq(text_number(999).text, "999");
    ck_assert_str_eq(text_number(1000).text, "1,000");
    ck_assert_str_eq(text_number(-1234567).text, "-1,234,567");
}
END_TEST

START_TEST(utf8_is_told_from_other_bytes) {
    ck_assert(text_is_utf8("gr\xc3\xbc\xc3\x9f", 6));
    ck_assert(!text_is_utf8("\xc3", 1));
    ck_assert(!text_is_utf8("\xed\xa0\x80", 3));
    ck_assert(!text_is_utf8("\xf4\x90\x80\x80", 4));
}
END_TEST

START_TEST(errors_gain_nouns_in_front) {
    struct err err;
    ck_assert_int_eq(err_set(&err, ERR_REFUSED, "no %s", "table"), -1);
    ck_assert_int_eq(err_within(&err, "store \"%s\"", "main"), -1);
    ck_assert_str_eq(err.text, "store \"main\": no table");
    ck_assert_int_eq(err.code, ERR_REFUSED);
    for (int i = 0; i < 200; i++) (void)err_within(&err, "a noun of some length");
    ck_assert_uint_lt(strlen(err.text), sizeof err.text);
}
END_TEST

START_TEST(arrays_grow_in_an_arena) {
    struct arena *arena = arena_new();
    int *numbers = NULL;
    size_t count = 0;
    for (int i = 0; i < 100000; i++) *ARENA_APPEND(arena, numbers, count) = i;
    for (int i = 0; i < 100000; i++) ck_assert_int_eq(numbers[i], i);
    char *large = arena_alloc(arena, 5 << 20);
    ck_assert_int_eq(large[(5 << 20) - 1], 0);
    arena_free(arena);
}
END_TEST

START_TEST(an_arena_that_was_cleared_gives_zeroed_memory_again) {
    struct arena *arena = arena_new();
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 200000; size = size * 3 + 1) {
            unsigned char *bytes = arena_alloc(arena, size);
            for (size_t i = 0; i < size; i++) ck_assert_uint_eq(bytes[i], 0);
            memset(bytes, 0xa5, size);
        }
        ck_assert_str_eq(arena_strndup(arena, "seventeen", 5), "seven");
        arena_clear(arena);
        ck_assert_uint_le(arena_bytes(arena), 65 << 10);
    }
    arena_free(arena);
}
END_TEST

START_TEST(every_byte_has_two_hex_digits) {
    for (unsigned first = 0; first < 256; first += 32) {
        unsigned char bytes[32];
        char hex[65], expected[80];
        for (unsigned i = 0; i < 32; i++) {
            bytes[i] = (unsigned char)(first + i);
            (void)snprintf(expected + 2 * (size_t)i, 3, "%02x", (unsigned)bytes[i]);
        }
        text_hex(hex, bytes);
        ck_assert_str_eq(hex, expected);
    }
}
END_TEST

/* Whatever mode it has: as another user than root nobody can open it. */
START_TEST(what_a_crash_left_of_a_file_is_not_written_to) {
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM], left[2 * TEMPORARY_ROOM + 8];
    struct err err;
    struct stat found;
    ck_assert(temporary_folder(folder));
    if (!geteuid()) {
        ck_assert_int_eq(chown(folder, 65534, 65534), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    (void)snprintf(path, sizeof path, "%s/journal.key", folder);
    (void)snprintf(left, sizeof left, "%s.new", path);
    static const mode_t modes[] = {0400, 0, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        int fd = open(left, O_WRONLY | O_CREAT | O_EXCL, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, "half a secret", 13), 13);
        ck_assert_int_eq(fchmod(fd, modes[i]), 0);
        ck_assert_int_eq(close(fd), 0);
        ck_assert_msg(!text_write_file(path, "whole", 5, 0400, &err), "%s", err.text);
        ck_assert_int_eq(stat(path, &found), 0);
        ck_assert_uint_eq(found.st_mode & 07777, 0400);
        ck_assert_int_eq(found.st_size, 5);
        ck_assert_int_ne(access(left, F_OK), 0);
    }
    ck_assert_int_eq(unlink(path), 0);
    if (!getuid()) ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

UNIT_MAIN("text", json_strings_are_escaped_and_always_utf8, a_buffer_stops_at_its_maximum, a_text_is_taken_whole_or_not_at_all, integers_are_decimal, numbers_are_grouped,
          utf8_is_told_from_other_bytes, errors_gain_nouns_in_front, arrays_grow_in_an_arena,
          an_arena_that_was_cleared_gives_zeroed_memory_again, every_byte_has_two_hex_digits, what_a_crash_left_of_a_file_is_not_written_to)
