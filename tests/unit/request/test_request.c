/* What is a request, and who may ask for it. */
#include "request/request.h"
#include "schedule_text.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct request got;

static const char *read_text(const char *text) {
    static struct arena *arena;
    if (!arena) arena = arena_new();
    return request_read(arena, text, strlen(text), &got);
}

static void assert_refused(const char *text, const char *code) {
    const char *answer = read_text(text);
    ck_assert_msg(answer && !strcmp(answer, code), "%s: %s", text, answer ? answer : "accepted");
}

START_TEST(what_is_written_is_read) {
    const struct request requests[] = {
        {.kind = REQUEST_HOLD, .scope = HOLD_TENANT, .tenant = "10\"42 \xc3\xa4", .ground = "litigation"},
        {.kind = REQUEST_HOLD, .scope = HOLD_SUBTREE, .tenant = "r", .ground = "g"},
        {.kind = REQUEST_HOLD, .scope = HOLD_RULE, .rule = "Billing Records", .ground = "tax-audit-2026"},
        {.kind = REQUEST_HOLD, .scope = HOLD_ALL, .ground = "g"},
        {.kind = REQUEST_RELEASE, .hold = "hold-1"},
        {.kind = REQUEST_PAUSE, .ground = "incident"},
        {.kind = REQUEST_RESUME},
        {.kind = REQUEST_CLOCK},
        {.kind = REQUEST_APPROVE, .digest = DIGEST},
        {.kind = REQUEST_APPROVE, .digest = DIGEST, .tenant = "42"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct buf text = {0};
        request_write(&requests[i], &text);
        const char *code = read_text(buf_text(&text));
        ck_assert_msg(!code, "%s: %s", buf_text(&text), code);
        ck_assert(got.kind == requests[i].kind && got.scope == requests[i].scope && text_equal(got.tenant, requests[i].tenant));
        ck_assert(text_equal(got.rule, requests[i].rule) && text_equal(got.ground, requests[i].ground) && text_equal(got.hold, requests[i].hold) &&
                  text_equal(got.digest, requests[i].digest));
        buf_free(&text);
    }
}
END_TEST

START_TEST(it_is_read_strictly) {
    assert_refused("", "syntax");
    assert_refused("[]", "syntax");
    assert_refused("{\"v\":1,\"request\":\"resume\"} x", "syntax");
    assert_refused("{\"v\":1,\"request\":\"resume\",\"request\":\"resume\"}", "syntax");
    assert_refused("{\"v\":1,\"v\":1,\"request\":\"resume\"}", "syntax");
    assert_refused("{\"v\":1,\"request\":\"pause\",\"ground\":\"a\\u0000b\"}", "syntax");
    assert_refused("{\"v\":2,\"request\":\"resume\"}", "version");
    assert_refused("{\"v\":\"1\",\"request\":\"resume\"}", "version");
    assert_refused("{\"request\":\"resume\"}", "version");
    assert_refused("{\"v\":1,\"request\":\"erase\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"resume\",\"note\":\"John asked\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"pause\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"pause\",\"ground\":\"John Smith asked\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"tenant\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"tenant\",\"tenant\":\"\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"tenant\",\"tenant\":1042,\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"tenant\",\"tenant\":\"a\\nb\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"all\",\"tenant\":\"1\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"hold\",\"scope\":\"some\",\"ground\":\"g\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"release\",\"hold\":\"../x\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"approve\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"approve\",\"digest\":\"3f9a21c4\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"approve\",\"digest\":\"" DIGEST "\",\"tenant\":\"\"}", "field");
    assert_refused("{\"v\":1,\"request\":\"approve\",\"digest\":\"" DIGEST "\",\"rule\":\"x\"}", "field");
}
END_TEST

START_TEST(an_id_is_a_file_name_and_nothing_else) {
    char longest[REQUEST_MOST_ID + 2];
    memset(longest, 'a', sizeof longest);
    longest[REQUEST_MOST_ID] = '\0';
    ck_assert(request_is_id("hold-3f9a21c4") && request_is_id("2026.case_7") && request_is_id(longest));
    longest[REQUEST_MOST_ID] = 'a';
    longest[REQUEST_MOST_ID + 1] = '\0';
    ck_assert(!request_is_id(longest) && !request_is_id("") && !request_is_id(".") && !request_is_id("..") && !request_is_id(".x"));
    ck_assert(!request_is_id("a/b") && !request_is_id("a b") && !request_is_id("Case") && !request_is_id("-x"));
}
END_TEST

START_TEST(only_who_is_named_may_ask) {
    const struct principal principals[] = {{.uid = 7, .may = MAY_HOLD | MAY_PAUSE}, {.uid = 8, .may = MAY_RELEASE | MAY_APPROVE}, {.uid = 7, .may = MAY_RESUME}};
    const struct settings settings = {.principals = principals, .n_principals = 3};
    ck_assert(request_is_permitted(&settings, REQUEST_HOLD, 7, 99) && request_is_permitted(&settings, REQUEST_RESUME, 7, 99));
    ck_assert(!request_is_permitted(&settings, REQUEST_RELEASE, 7, 99) && request_is_permitted(&settings, REQUEST_RELEASE, 8, 99));
    ck_assert(!request_is_permitted(&settings, REQUEST_HOLD, 8, 99) && !request_is_permitted(&settings, REQUEST_HOLD, 9, 99));
    ck_assert(!request_is_permitted(&settings, REQUEST_APPROVE, 7, 99) && request_is_permitted(&settings, REQUEST_APPROVE, 8, 99));
    ck_assert(request_is_permitted(&settings, REQUEST_RELEASE, 0, 99) && request_is_permitted(&settings, REQUEST_RELEASE, 99, 99));
}
END_TEST

START_TEST(principals_and_cooling_off_are_settings) {
    struct schedule *schedule = schedule_of(
        "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; };\n"
        "principals = ( { user = \"nobody\"; may = [ \"hold\", \"release\" ]; }, { user = \"4711\"; may = [ \"pause\", \"approve\" ]; } );\n"
        "holds = { cooling_off = \"3 days\"; };\n"
        "schedule = ( { data = \"Views\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"v\"; tenant = \"none\"; since = \"at\"; } ); } );");
    const struct settings *settings = &schedule->settings;
    ck_assert_uint_eq(settings->n_principals, 2);
    ck_assert_uint_eq(settings->principals[0].may, MAY_HOLD | MAY_RELEASE);
    ck_assert_uint_eq(settings->principals[1].uid, 4711);
    ck_assert_uint_eq(settings->principals[1].may, MAY_PAUSE | MAY_APPROVE);
    ck_assert_int_eq(settings->cooling_off_us, 3 * TIME_DAY_US);
    const struct request tenant = {.kind = REQUEST_HOLD, .scope = HOLD_TENANT, .tenant = "1"}, rule = {.kind = REQUEST_HOLD, .scope = HOLD_RULE, .rule = "View"};
    ck_assert_str_eq(request_misfit(&tenant, schedule), "tenants-none");
    ck_assert_str_eq(request_misfit(&rule, schedule), "rule-unknown");
    schedule->has_tenants = schedule->tenants.personal = true;
    ck_assert_str_eq(request_misfit(&tenant, schedule), "tenants-personal");
    schedule->tenants.personal = false;
    ck_assert_ptr_null(request_misfit(&tenant, schedule));
    schedule_free(schedule);
}
END_TEST

UNIT_MAIN("request", what_is_written_is_read, it_is_read_strictly, an_id_is_a_file_name_and_nothing_else, only_who_is_named_may_ask,
          principals_and_cooling_off_are_settings)
