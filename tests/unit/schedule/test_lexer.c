#include "schedule/lexer.h"

#include "unit.h"

#define GOOD(check, sql)                                                                                                   \
    do {                                                                                                                   \
        struct err err = {0};                                                                                              \
        ck_assert_msg(!check(sql, &err), "%s refused: %s", sql, err.text);                                               \
    } while (0)
#define BAD(check, sql, words)                                                                                             \
    do {                                                                                                                   \
        struct err err = {0};                                                                                              \
        ck_assert_msg(check(sql, &err) == -1 && err.code == ERR_CONFIG && strstr(err.text, words), "%s: %s", sql, err.text); \
    } while (0)

START_TEST(one_condition_passes) {
    GOOD(lexer_check_condition, "x = 1");
    GOOD(lexer_check_condition, "(a = ANY(ARRAY[1, 2]) OR b IN (3)) AND c ->> 'k' <> ''");
    GOOD(lexer_check_condition, "name = 'it''s; -- no /* comment */ ) here' AND \"odd\"\"; name\" = 1");
    GOOD(lexer_check_condition, "body = $$; ) -- '$$ OR body = $a1$ $$ ; $a1$ OR a$1 = 2");
    GOOD(lexer_check_condition, "path ~ '^\\d+$' AND x - -1 > 0 AND a / b = 2");
    GOOD(lexer_check_condition, "name = E'a\\nb' AND stra\xc3\x9f" "e = 'x'");
}
END_TEST

START_TEST(nothing_breaks_out_of_the_parentheses) {
    BAD(lexer_check_condition, "x = 1) OR (true", "closes a parenthesis");
    BAD(lexer_check_condition, "x = 1)) OR ((true", "closes a parenthesis");
    BAD(lexer_check_condition, "(x = 1", "not closed");
    BAD(lexer_check_condition, "a[1)", "closes a parenthesis");
    BAD(lexer_check_condition, "([x)]", "closes a parenthesis");
    BAD(lexer_check_condition, "x = 1; DROP TABLE t", "semicolon");
    BAD(lexer_check_condition, "x = 1 --", "comment");
    BAD(lexer_check_condition, "x = 1 /* ", "comment");
    BAD(lexer_check_condition, "x = '", "quote");
    BAD(lexer_check_condition, "x = 'a''", "quote");
    BAD(lexer_check_condition, "x = \"a", "double quote");
    BAD(lexer_check_condition, "x = $$a$", "dollar quote");
    BAD(lexer_check_condition, "x = $a$ b $A$", "dollar quote");
    BAD(lexer_check_condition, "x = $1", "parameter");
    BAD(lexer_check_condition, "x = 1$1", "parameter");
    BAD(lexer_check_condition, "x = $", "dollar sign");
    BAD(lexer_check_condition, "x = E'\\') OR (true OR x = '", "backslash");
    BAD(lexer_check_condition, "x = '\\' AND true) OR (y = '", "backslash");
    BAD(lexer_check_condition, "x = \\gexec", "backslash");
    BAD(lexer_check_condition, " \n", "empty");
}
END_TEST

START_TEST(brackets_nested_deeply_are_refused) {
    char text[1001];
    memset(text, '(', 500);
    memset(text + 500, ')', 500);
    text[1000] = '\0';
    BAD(lexer_check_condition, text, "too deeply");
}
END_TEST

START_TEST(a_tenants_query_is_one_query) {
    GOOD(lexer_check_query, "SELECT 1 AS tenant");
    GOOD(lexer_check_query, " with t AS (SELECT 1) SELECT * FROM t");
    GOOD(lexer_check_query, "VALUES (1, 2)");
    BAD(lexer_check_query, "DELETE FROM t", "SELECT, WITH or VALUES");
    BAD(lexer_check_query, "SELECTED", "SELECT, WITH or VALUES");
    BAD(lexer_check_query, "SELECT 1) q, (SELECT 2", "closes a parenthesis");
}
END_TEST

START_TEST(filters_are_strict_json_without_code) {
    GOOD(lexer_check_filter, "{\"status\": {\"$in\": [\"a\", 1]}, \"$or\": [{\"x\": {\"$exists\": false}}]}");
    BAD(lexer_check_filter, "{status: 1}", "is not JSON (line 1");
    BAD(lexer_check_filter, "{\"a\": 1} x", "is not JSON");
    BAD(lexer_check_filter, "{\"a\": 1, \"a\": 2}", "twice");
    BAD(lexer_check_filter, "[]", "not a JSON object");
    BAD(lexer_check_filter, "{\"$where\": \"true\"}", "$where");
    BAD(lexer_check_filter, "{\"$or\": [{\"a\": {\"$expr\": {\"$function\": {}}}}]}", "$function");
}
END_TEST

START_TEST(pipelines_only_read) {
    GOOD(lexer_check_pipeline, "[{\"$match\": {}}, {\"$project\": {\"tenant\": \"$_id\"}}]");
    GOOD(lexer_check_pipeline, "[]");
    BAD(lexer_check_pipeline, "{}", "not a JSON array");
    BAD(lexer_check_pipeline, "[1]", "stage");
    BAD(lexer_check_pipeline, "[{\"$out\": \"x\"}]", "$out");
    BAD(lexer_check_pipeline, "[{\"$merge\": {}}]", "$merge");
    BAD(lexer_check_pipeline, "[{\"$group\": {\"x\": {\"$accumulator\": {}}}}]", "$accumulator");
    BAD(lexer_check_pipeline, "[{\"$lookup\": {\"pipeline\": [{\"$out\": \"x\"}]}}]", "$out");
}
END_TEST

UNIT_MAIN("schedule/lexer", one_condition_passes, nothing_breaks_out_of_the_parentheses, brackets_nested_deeply_are_refused, a_tenants_query_is_one_query,
          filters_are_strict_json_without_code, pipelines_only_read)
