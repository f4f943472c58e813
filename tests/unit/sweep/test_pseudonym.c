/* One key a calendar month; the keys of other months are destroyed. */
#include "schedule_text.h"
#include "sweep/pseudonym.h"

#include <sys/stat.h>

static char folder[] = "/tmp/lapsed-test-XXXXXX";

static bool there(const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return !access(path, F_OK);
}

START_TEST(a_key_lasts_a_month_and_no_longer) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsigned char first[32], same[32], next[32];
    struct err err;
    ck_assert_int_eq(pseudonym_key(folder, at("2026-11-01"), first, &err), 0);
    ck_assert_int_eq(pseudonym_key(folder, at("2026-11-30 23:59:59"), same, &err), 0);
    ck_assert_mem_eq(first, same, 32);
    struct stat stat_of;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/pseudonym-2026-11.key", folder);
    ck_assert_int_eq(stat(path, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 0777, 0400);
    ck_assert_int_eq(pseudonym_key(folder, at("2026-12-01"), next, &err), 0);
    ck_assert_mem_ne(first, next, 32);
    ck_assert(!there("pseudonym-2026-11.key") && there("pseudonym-2026-12.key"));
    (void)snprintf(path, sizeof path, "%s/pseudonym-2026-12.key", folder);
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fputs("short", file);
    (void)fclose(file);
    ck_assert_int_eq(pseudonym_key(folder, at("2026-12-02"), next, &err), -1);
    ck_assert_msg(strstr(err.text, "damaged") != NULL, "%s", err.text);
    (void)unlink(path);
    (void)rmdir(folder);
}
END_TEST

UNIT_MAIN("pseudonym", a_key_lasts_a_month_and_no_longer)
