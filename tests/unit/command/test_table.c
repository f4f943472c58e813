#include "command/table.h"
#include "unit.h"

static const struct table_column columns[] = {{"NAME", ALIGN_LEFT, 0}, {"DUE", ALIGN_RIGHT, 7}, {"STATE", ALIGN_LEFT, 0}};

static char *printed(const char *const *cells, size_t n_cells, enum style style, bool colour) {
    struct arena *arena = arena_new();
    struct table *table = table_new(arena, columns, 3);
    for (size_t i = 0; i < n_cells; i++) table_cell(table, style, cells[i]);
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    table_print(table, to, colour);
    (void)fclose(to);
    arena_free(arena);
    return text;
}

START_TEST(numbers_stand_right_and_no_line_ends_in_a_blank) {
    const char *const cells[] = {"brands", "41,210", "ready", "customers and more", "31", ""};
    char *text = printed(cells, 6, STYLE_PLAIN, false);
    ck_assert_str_eq(text, "NAME                    DUE  STATE\n"
                           "brands               41,210  ready\n"
                           "customers and more       31\n");
    free(text);
}
END_TEST

START_TEST(width_is_counted_in_characters) {
    const char *const cells[] = {"Über", "1", "x", "four", "2", "y"};
    char *text = printed(cells, 6, STYLE_PLAIN, false);
    ck_assert_str_eq(text, "NAME      DUE  STATE\nÜber        1  x\nfour        2  y\n");
    free(text);
}
END_TEST

START_TEST(a_name_from_a_database_cannot_drive_the_terminal) {
    const char *const cells[] = {"a\033[2Jb\nc", "1", ("\xc2\x9b" "31m")};
    char *text = printed(cells, 3, STYLE_PLAIN, false);
    ck_assert_ptr_null(strchr(text, '\033'));
    ck_assert_ptr_nonnull(strstr(text, "a?[2Jb?c"));
    ck_assert_ptr_nonnull(strstr(text, "??31m"));
    free(text);
}
END_TEST

START_TEST(colour_is_around_texts_not_around_blanks) {
    const char *const cells[] = {"a", "1", "ready"};
    char *text = printed(cells, 3, STYLE_GOOD, true);
    ck_assert_ptr_nonnull(strstr(text, "  \033[32mready\033[0m\n"));
    ck_assert_ptr_nonnull(strstr(text, "\033[1mNAME\033[0m "));
    free(text);
}
END_TEST

UNIT_MAIN("table", numbers_stand_right_and_no_line_ends_in_a_blank, width_is_counted_in_characters,
          a_name_from_a_database_cannot_drive_the_terminal, colour_is_around_texts_not_around_blanks)
