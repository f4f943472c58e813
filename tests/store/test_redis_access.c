/* Redis: hashes anonymized, permissions, and what is told about them. */
#include "redis_fixture.h"

/* --- anonymization ------------------------------------------------------------------------------------------------- */

static const struct column COLUMNS[] = {
    {.strategy = STRATEGY_NULL, .path = "email"},
    {.strategy = STRATEGY_TRUNCATE_IP, .path = "ip"},
    {.strategy = STRATEGY_FIXED, .path = "name", .argument = "gone"},
    {.strategy = STRATEGY_PSEUDONYMIZE, .path = "visitor"},
    {.strategy = STRATEGY_AS_IS, .path = "country"},
};

static struct target *visits(void) {
    struct target *target = world_target("visit:{tenant}:*", "field:at", UNIT_NONE);
    target->columns = COLUMNS;
    target->n_columns = sizeof COLUMNS / sizeof *COLUMNS;
    return target;
}

static void put_visit(const char *key) {
    admin("HSET %s at 2024-01-01T00:00:00Z email x@example.org ip 203.0.113.77 name Ann visitor v1 country DE", key);
}

START_TEST(hashes_are_anonymized_once) {
    struct target *target = visits();
    ck_assert_ptr_null(world_open(NULL, "a"));
    put_visit("visit:a:1");
    admin("EXPIRE visit:a:1 1000");
    struct order order = world_order(target, ACTION_ANONYMIZE, NOON_US);
    ck_assert_int_eq(world_count(&order), 1);
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_int_eq(admin("HEXISTS visit:a:1 email"), 0);
    ck_assert_str_eq(admin_text("HGET visit:a:1 ip"), "203.0.113.0");
    ck_assert_str_eq(admin_text("HGET visit:a:1 name"), "gone");
    ck_assert_str_eq(admin_text("HGET visit:a:1 country"), "DE");
    ck_assert_int_eq(strncmp(admin_text("HGET visit:a:1 visitor"), "anon:", 5), 0);
    ck_assert_int_gt(admin("TTL visit:a:1"), 0);
    ck_assert_int_eq(world_count(&order), 0);
    ck_assert_int_eq(world_run(&order, 10), 0);
}
END_TEST

START_TEST(a_marker_says_what_is_done) {
    struct target *target = visits();
    target->marker = "anonymized_at";
    ck_assert_ptr_null(world_open(NULL, "a"));
    put_visit("visit:a:1");
    put_visit("visit:a:2");
    admin("HSET visit:a:2 anonymized_at 2024-02-01");
    struct order order = world_order(target, ACTION_ANONYMIZE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_str_ne(admin_text("HGET visit:a:1 anonymized_at"), "");
    ck_assert_str_eq(admin_text("HGET visit:a:2 name"), "Ann");
}
END_TEST

START_TEST(an_unlisted_field_makes_a_hash_undecidable) {
    struct target *target = visits();
    ck_assert_ptr_null(world_open(NULL, "a"));
    put_visit("visit:a:1");
    put_visit("visit:a:2");
    admin("HSET visit:a:2 phone 1 fax 2 pager 3");
    admin("HSET visit:a:3 at 2024-01-01 phone 1");
    admin("SET visit:a:4 x");
    struct order order = world_order(target, ACTION_ANONYMIZE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_str_eq(admin_text("HGET visit:a:2 name"), "Ann");
    ck_assert_int_eq(world_undecidable(target, "field-unlisted"), 2);
    ck_assert_int_eq(world_undecidable(target, "since-type"), 1);
    /* It is purged all the same when its time comes. */
    struct order purge = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&purge, 10), 3);
}
END_TEST

/* Prepares the anonymization of one hash, lets the application act, finishes. */
static int64_t anonymize_while(const char *command) {
    struct target *target = visits();
    ck_assert_ptr_null(world_open(NULL, "a"));
    put_visit("visit:a:1");
    struct order order = world_order(target, ACTION_ANONYMIZE, NOON_US);
    const struct order *orders[] = {&order};
    const struct batch *batch;
    struct pass *pass = world_prepare(orders, 10, &batch);
    ck_assert_int_eq(batch->records, 1);
    admin(command);
    int64_t gone = world_finish(pass);
    redis_driver.end(world.store, pass);
    return gone;
}

START_TEST(a_hash_that_vanished_is_not_made_again) {
    ck_assert_int_eq(anonymize_while("DEL visit:a:1"), 0);
    ck_assert_int_eq(admin("EXISTS visit:a:1"), 0);
}
END_TEST

START_TEST(a_hash_that_changed_is_not_overwritten) {
    ck_assert_int_eq(anonymize_while("HSET visit:a:1 name Bob"), 0);
    ck_assert_str_eq(admin_text("HGET visit:a:1 name"), "Bob");
}
END_TEST

START_TEST(a_hash_that_gained_a_field_is_not_overwritten) {
    ck_assert_int_eq(anonymize_while("HSET visit:a:1 phone 1"), 0);
    ck_assert_str_eq(admin_text("HGET visit:a:1 name"), "Ann");
}
END_TEST

static long long calls_of(const char *command) {
    char name[64];
    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(admin_text("INFO commandstats"), name);
    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* --- permissions --------------------------------------------------------------------------------------------------- */

/* Makes the user `granted` with what grants prints, less one permission (NULL: none). */
static void grant(const char *less) {
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    ck_assert_int_eq(redis_driver.grants(world.store, "granted", &text, &world.err), 0);
    const char *line = strstr(buf_text(&text), "ACL SETUSER granted");
    ck_assert_ptr_nonnull(line);
    const char *words[64];
    int count = 0;
    for (const char *at = line; *at && *at != '\n'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " \n");
        const char *word = arena_strndup(world.arena, at, length);
        at += length;
        if (strcmp(word, ">PASSWORD") == 0) word = arena_printf(world.arena, ">%s", getenv("LAPSED_TEST_PASSWORD"));
        if (less && strcmp(word, less) == 0) continue;
        ck_assert_int_lt(count, 64);
        words[count++] = word;
    }
    admin_words(count, words);
    redis_driver.close(world.store);
    world.store = NULL;
    tenants_free(world.tenants);
    world.tenants = NULL;
}

static struct target *targets_of_all_kinds(void) {
    struct target *target = visits();
    (void)world_target("usage:{tenant}", "score", UNIT_SECONDS);
    (void)world_target("log:{tenant}", "stream-id", UNIT_NONE);
    (void)world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    return target;
}

START_TEST(what_grants_prints_is_enough) {
    struct target *target = targets_of_all_kinds();
    grant(NULL);
    ck_assert_ptr_null(world_open("granted", "a"));
    put_visit("visit:a:1");
    put_visit("visit:a:2");
    admin("ZADD usage:a 1 x");
    admin("XADD log:a 1-1 f x");
    admin("SET caas:a:x 1");
    admin("SET other:a:x 1");
    struct order anonymize = world_order(target, ACTION_ANONYMIZE, NOON_US), purge = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&anonymize, 10), 2);
    ck_assert_int_eq(world_run(&purge, 10), 2);
    for (size_t i = 1; i < 3; i++) {
        struct order order = world_order(&world.targets[i], ACTION_PURGE, NOON_US);
        ck_assert_int_eq(world_run(&order, 10), 1);
    }
    struct order end = world_end_order(&world.targets[3], "a");
    ck_assert_int_eq(world_run(&end, 10), 1);
    for (size_t i = 0; i < 4; i++) (void)world_undecidable(&world.targets[i], "since-empty");
    const struct finding *findings;
    size_t n_findings;
    struct record_facts facts;
    ck_assert_int_eq(redis_driver.advise(world.store, world.arena, &findings, &n_findings, &world.err), 0);
    ck_assert_int_eq(redis_driver.explain(world.store, target, "visit:a:1", world.arena, &facts, &world.err), 0);
    ck_assert_int_eq(admin("EXISTS other:a:x"), 1);
}
END_TEST

START_TEST(check_names_the_permission_that_is_missing) {
    (void)targets_of_all_kinds();
    static const char *const each[] = {"+scan", "+type", "+unlink", "+eval", "+hmget", "+zcount", "+zrem", "+zremrangebyscore", "+xtrim", "+xdel", "+hset", "+hdel"};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        grant(each[i]);
        const char *fault = world_open("granted", "a");
        ck_assert_msg(fault && strstr(fault, each[i] + 1), "without %s: %s", each[i], fault ? fault : "no fault");
        ck_assert_ptr_nonnull(strstr(fault, "lapsectl grants"));
    }
}
END_TEST

START_TEST(check_runs_nothing_that_destroys) {
    long long before = calls_of("unlink");
    (void)targets_of_all_kinds();
    ck_assert_int_eq(calls_of("unlink") - before, 0);
}
END_TEST

/* Without it what expires by itself would, under a hold. */
START_TEST(check_asks_for_the_place_of_kept_expiries) {
    (void)world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    static const char *const each[] = {"~lapsed:held", "+hset", "+hget", "+hdel", "+hscan"};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        grant(each[i]);
        const char *fault = world_open("granted", "a");
        ck_assert_msg(fault && strstr(fault, "lapsed:held") && strstr(fault, i ? each[i] + 1 : "hget, hset, hdel, hscan"), "without %s: %s", each[i],
                      fault ? fault : "no fault");
    }
    grant(NULL);
    ck_assert_ptr_null(world_open("granted", "a"));
}
END_TEST

START_TEST(a_wrong_password_is_a_matter_of_configuration) {
    (void)world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    struct store_settings settings = {.conf = &world.conf, .schedule = &world.schedule, .password = "wrong"};
    int64_t now_us;
    world.conf.url = getenv("LAPSED_TEST_REDIS");
    ck_assert_int_eq(redis_driver.open(&settings, &world.store, &world.err), 0);
    ck_assert_int_eq(redis_driver.ping(world.store, &now_us, &world.err), -1);
    ck_assert_int_eq(world.err.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(world.err.text, "credential"));
    ck_assert_ptr_null(strstr(world.err.text, "wrong"));
}
END_TEST

/* --- what is told -------------------------------------------------------------------------------------------------- */

START_TEST(a_key_is_explained) {
    struct target *target = visits();
    ck_assert_ptr_null(world_open(NULL, "a"));
    put_visit("visit:a:1");
    struct record_facts facts;
    ck_assert_int_eq(redis_driver.explain(world.store, target, "visit:a:1", world.arena, &facts, &world.err), 0);
    ck_assert(facts.exists && facts.anchor_ok[0] && !facts.anonymized);
    ck_assert_str_eq(facts.tenant, "a");
    ck_assert_str_eq(time_format_day(facts.anchor_us[0]).text, "2024-01-01");
    ck_assert_int_eq(redis_driver.explain(world.store, target, "visit:a:2", world.arena, &facts, &world.err), 0);
    ck_assert(!facts.exists);
    ck_assert_int_eq(redis_driver.explain(world.store, target, "other", world.arena, &facts, &world.err), 0);
    ck_assert(!facts.exists);
}
END_TEST

START_TEST(a_draft_shows_prefixes_and_no_names) {
    ck_assert_ptr_null(world_open(NULL, ""));
    admin("MSET caas:1:cart x caas:2:cart x ann@example.org x usage:1 x usage:2 x once:1 x");
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    ck_assert_int_eq(redis_driver.draft(world.store, &text, &world.err), 0);
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "keys = \"caas:{tenant}:*\""));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "keys = \"usage:{tenant}\""));
    ck_assert_ptr_null(strstr(buf_text(&text), "ann@"));
    ck_assert_ptr_null(strstr(buf_text(&text), "once"));
}
END_TEST

START_TEST(keys_that_expire_by_themselves_are_advised_of) {
    (void)world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, ""));
    admin("SET caas:1:x 1 EX 1000");
    const struct finding *findings;
    size_t n_findings;
    ck_assert_int_eq(redis_driver.advise(world.store, world.arena, &findings, &n_findings, &world.err), 0);
    ck_assert_uint_eq(n_findings, 2);
    ck_assert_str_eq(findings[0].code, "expiry");
    ck_assert_int_eq(findings[0].count, 1);
    ck_assert_int_eq(findings[0].grade, FINDING_NOTE);
    ck_assert_str_eq(findings[1].code, "privileges-wide");
}
END_TEST

START_TEST(faulty_targets_are_named) {
    static const struct {
        const char *pattern, *since, *says;
    } faulty[] = {
        {"caas:{tenant}*", NULL, "where {tenant} ends"},
        {"caas:*", NULL, NULL},
        {"usage:{tenant}", "score", "no unit"},
        {"usage:{tenant}", "created_at", "write \"score\""},
        {"usage:{tenant}", "{date}", "no {date}"},
    };
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        world.schedule.n_targets = 0;
        (void)world_target(faulty[i].pattern, faulty[i].since, UNIT_NONE);
        const char *fault = world_open(NULL, "");
        if (!faulty[i].says) ck_assert_ptr_null(fault);
        else ck_assert_msg(fault && strstr(fault, faulty[i].says), "%s: %s", faulty[i].pattern, fault ? fault : "no fault");
        redis_driver.close(world.store);
        tenants_free(world.tenants);
    }
    world.store = NULL;
    world.tenants = NULL;
}
END_TEST

int main(void) {
    const TTest *const tests[] = {hashes_are_anonymized_once, a_marker_says_what_is_done, an_unlisted_field_makes_a_hash_undecidable,
                                  a_hash_that_vanished_is_not_made_again, a_hash_that_changed_is_not_overwritten,
                                  a_hash_that_gained_a_field_is_not_overwritten, what_grants_prints_is_enough,
                                  check_names_the_permission_that_is_missing, check_runs_nothing_that_destroys, check_asks_for_the_place_of_kept_expiries, a_wrong_password_is_a_matter_of_configuration, a_key_is_explained,
                                  a_draft_shows_prefixes_and_no_names, keys_that_expire_by_themselves_are_advised_of, faulty_targets_are_named};
    return redis_suite("Redis: hashes, permissions, reports", tests, sizeof tests / sizeof *tests);
}
