/* What is written differently and means the same has one normal text; everything else keeps its own. */
#include "base/spelling.h"
#include "unit.h"

#include <string.h>

static void assert_normal(const char *id, const char *normal) {
    char room[SPELLING_ROOM];
    ck_assert_str_eq(spelling_normal(id, room), normal);
    ck_assert_int_eq(spelling_compare(id, normal), 0);
}

START_TEST(one_value_has_one_text) {
    assert_normal("007", "7");
    assert_normal(" +7.00 ", "7");
    assert_normal("-007", "-7");
    assert_normal("-0", "0");
    assert_normal("18446744073709551616", "18446744073709551616");
    assert_normal("0000000000000000000000000000000000000000000000000000000000000000000000007", "7");
    assert_normal("{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    assert_normal("5F43A9C1E0B1D2A3C4E5F607", "5f43a9c1e0b1d2a3c4e5f607");
    assert_normal("123456789012345678901234", "123456789012345678901234");
    assert_normal("anna  ", "anna");
}
END_TEST

START_TEST(what_means_no_value_is_itself) {
    static const char *const ids[] = {"", "   ", "7a", "7.5", "0x7", "- 7", ".", "Anna", " anna", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "5f43a9c1e0b1d2a3c4e5f60",
                                      "99999999999999999999999999999999999999999999999999", "a long text that no room would hold, with a blank behind it "};
    char room[SPELLING_ROOM];
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) ck_assert_ptr_eq(spelling_normal(ids[i], room), ids[i]);
    ck_assert_int_ne(spelling_compare("7", "70"), 0);
    ck_assert_int_ne(spelling_compare("7", "-7"), 0);
    ck_assert_int_ne(spelling_compare("anna", "Anna"), 0);
}
END_TEST

/* Sorted and searched by it, each is found however it is written. */
START_TEST(it_is_a_sequence) {
    const char *ids[] = {"10", "9", "0a", "A", "a", "-3", "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", "b", "00000011"};
    const size_t count = sizeof ids / sizeof *ids;
    qsort(ids, count, sizeof *ids, spelling_order);
    static const char *const sought[] = {"010", "09", "0a", "A", "a", "-03", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "b ", "11"};
    for (size_t i = 0; i < count; i++) ck_assert_ptr_nonnull(bsearch(&sought[i], ids, count, sizeof *ids, spelling_order));
    const char *none = "12";
    ck_assert_ptr_null(bsearch(&none, ids, count, sizeof *ids, spelling_order));
}
END_TEST

UNIT_MAIN("spelling", one_value_has_one_text, what_means_no_value_is_itself, it_is_a_sequence)
