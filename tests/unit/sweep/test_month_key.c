/* One key a calendar month; the keys of other months are destroyed. */
#include "schedule_text.h"
#include "sweep/month_key.h"
#include "temporary.h"

#include <sys/stat.h>

static char folder[TEMPORARY_ROOM];

static struct err err;

/* As a sweep does: the key of its month, and in the end the others go. */
static int renew(const char *name, int64_t now_us, struct period keep, unsigned char key[32], size_t *ret_destroyed) {
    return month_key_have(folder, name, now_us, key, &err) || month_keys_destroy(folder, name, now_us, keep, ret_destroyed, &err) ? -1 : 0;
}

static bool there(const char *name) {
    char path[2 * TEMPORARY_ROOM];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return !access(path, F_OK);
}

START_TEST(a_key_lasts_a_month_and_no_longer) {
    ck_assert(temporary_folder(folder));
    unsigned char first[32], same[32], next[32];
    const struct period none = {0};
    size_t destroyed;
    ck_assert_int_eq(renew("pseudonym", at("2026-11-01"), none, first, &destroyed), 0);
    ck_assert_int_eq(renew("pseudonym", at("2026-11-30 23:59:59"), none, same, &destroyed), 0);
    ck_assert_mem_eq(first, same, 32);
    struct stat stat_of;
    char path[2 * TEMPORARY_ROOM];
    (void)snprintf(path, sizeof path, "%s/pseudonym-2026-11.key", folder);
    ck_assert_int_eq(stat(path, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 0777, 0400);
    ck_assert_int_eq(renew("pseudonym", at("2026-12-01"), none, next, &destroyed), 0);
    ck_assert_mem_ne(first, next, 32);
    ck_assert(!there("pseudonym-2026-11.key") && there("pseudonym-2026-12.key"));
    (void)snprintf(path, sizeof path, "%s/pseudonym-2026-12.key", folder);
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fputs("short", file);
    (void)fclose(file);
    ck_assert_int_eq(renew("pseudonym", at("2026-12-02"), none, next, &destroyed), -1);
    ck_assert_msg(strstr(err.text, "damaged") != NULL, "%s", err.text);
    (void)unlink(path);
    (void)rmdir(folder);
}
END_TEST

START_TEST(keys_are_kept_and_then_destroyed) {
    char path[2 * TEMPORARY_ROOM];
    const struct period keep = {.count = 13, .unit = PERIOD_MONTHS};
    unsigned char key[32], january[32];
    size_t destroyed, count;
    struct arena *arena = arena_new();
    struct month_key *keys;
    ck_assert(temporary_folder(folder));
    ck_assert_int_eq(renew("evidence", at("2025-01-31"), keep, january, &destroyed), 0);
    ck_assert_int_eq(renew("evidence", at("2025-12-01"), keep, key, &destroyed), 0);
    ck_assert_int_eq(renew("pseudonym", at("2025-12-01"), (struct period){0}, key, &destroyed), 0);
    (void)snprintf(path, sizeof path, "%s/evidence-2026-01.key.new", folder); /* a crash while one was made */
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fclose(file);
    static const char *const no_keys[] = {"evidence-000000000001", "evidence-2025-01.key.bak", "evidence-2025-01.key.new.bak", "evidence-2025-01.keys"};
    for (size_t i = 0; i < sizeof no_keys / sizeof *no_keys; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, no_keys[i]);
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        (void)fclose(file);
    }
    /* January 2025 was over on 1 February 2025: its key is kept until 1 March 2026. */
    ck_assert_int_eq(renew("evidence", at("2026-02-28 23:59:59"), keep, key, &destroyed), 0);
    ck_assert_uint_eq(destroyed, 1);
    ck_assert(there("evidence-2025-01.key") && !there("evidence-2026-01.key.new"));
    ck_assert_int_eq(month_keys_read(folder, "evidence", arena, &keys, &count, &err), 0);
    ck_assert_uint_eq(count, 3);
    bool found = false;
    for (size_t i = 0; i < count; i++) found |= !memcmp(keys[i].bytes, january, 32);
    ck_assert(found);
    ck_assert_int_eq(renew("evidence", at("2026-03-01"), keep, key, &destroyed), 0);
    ck_assert_uint_eq(destroyed, 1);
    ck_assert(!there("evidence-2025-01.key") && there("evidence-2025-12.key") && there("pseudonym-2025-12.key"));
    arena_free(arena);
    static const char *const left[] = {"evidence-2025-12.key", "evidence-2026-02.key", "evidence-2026-03.key", "pseudonym-2025-12.key"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    for (size_t i = 0; i < sizeof no_keys / sizeof *no_keys; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, no_keys[i]);
        ck_assert_msg(!unlink(path), "%s was taken for a key", no_keys[i]);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_key_that_cannot_be_looked_at_is_not_replaced) {
    char path[2 * TEMPORARY_ROOM];
    unsigned char key[32];
    struct stat found;
    ck_assert(temporary_folder(folder));
    (void)snprintf(path, sizeof path, "%s/pseudonym-2026-11.key", folder);
    ck_assert_int_eq(symlink("pseudonym-2026-11.key", path), 0); /* to itself */
    ck_assert_int_eq(month_key_have(folder, "pseudonym", at("2026-11-01"), key, &err), -1);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    ck_assert_int_eq(lstat(path, &found), 0);
    ck_assert(S_ISLNK(found.st_mode));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

UNIT_MAIN("month_key", a_key_lasts_a_month_and_no_longer, keys_are_kept_and_then_destroyed, a_key_that_cannot_be_looked_at_is_not_replaced)
