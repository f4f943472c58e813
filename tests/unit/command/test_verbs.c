/* The verbs from the command line to the exit status, with a PostgreSQL store that answers as these tests want. */
#include "command/command.h"
#include "command/verbs.h"

#include "base/text.h"
#include "base/time.h"
#include "store/store.h"
#include "temporary.h"
#include "unit.h"

#include <jansson.h>
#include <unistd.h>

/* ---- the store ---- */

static struct {
    bool down, faulty, remark, no_record;
} answers;

struct fake {
    struct store_base base;
};

static int fake_open(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    (void)err;
    struct fake *fake = xcalloc(1, sizeof *fake);
    ck_assert(settings->read_only);
    fake->base = (struct store_base){.driver = store_driver_of(STORE_POSTGRESQL), .settings = *settings};
    *ret_store = (struct store *)fake;
    return 0;
}

static void fake_close(struct store *store) { free(store); }

static int fake_ping(struct store *store, int64_t *ret_now_us, struct err *err) {
    (void)store;
    if (answers.down) return err_set(err, ERR_UNAVAILABLE, "store \"main\": cannot be reached");
    *ret_now_us = time_now_us();
    return 0;
}

static int fake_tenants(struct store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err) {
    (void)store, (void)ids, (void)n_ids;
    const struct tenant_row ended = {.id = "1042", .ends = {0}}, running = {.id = "7", .ends = {TIME_FOREVER}};
    return sink(context, &ended, err) || sink(context, &running, err) ? -1 : 0;
}

static int fake_tenants_tables(struct store *store, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err) {
    static const char *const names[] = {"public.customers"};
    (void)store, (void)arena, (void)err;
    *ret_names = names;
    *ret_count = 1;
    return 0;
}

static int fake_check(struct store *store, struct faults *faults, bool *bad, struct err *err) {
    (void)err;
    const struct target *target = ((struct fake *)store)->base.settings.schedule->targets[0];
    if (!answers.faulty) return 0;
    fault_add(faults, target->place, "\"brands\" has no column \"customer_id\"; write its tenant column");
    bad[0] = true;
    return 0;
}

static int fake_advise(struct store *store, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err) {
    static const struct finding remark = {.code = "index", .store = "main", .place = "invoices.issued_on", .text = "an index would help"};
    (void)store, (void)arena, (void)err;
    *ret_findings = &remark;
    *ret_count = answers.remark;
    return 0;
}

static int fake_grants(struct store *store, const char *role, struct buf *to, struct err *err) {
    (void)store, (void)err;
    buf_printf(to, "GRANT SELECT, DELETE ON brands TO %s;\n", role);
    return 0;
}

static int fake_draft(struct store *store, struct buf *to, struct err *err) {
    (void)store, (void)err;
    buf_add(to, "  # { data = \"Brands\"; }\n");
    return 0;
}

/* Five records of every listed tenant are due, and three of every other target. */
static int fake_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                      struct err *err) {
    (void)store, (void)err;
    for (size_t i = 0; i < n_orders; i++) {
        struct tenant_count *counts = ARENA_ARRAY(arena, struct tenant_count, 1);
        bool listed = orders[i]->due.kind == SCOPE_LISTED && orders[i]->due.n_tenants;
        *counts = (struct tenant_count){.tenant = listed ? orders[i]->due.tenants[0].id : "7", .count = listed ? 5 : 3, .oldest_us = 0,
                                        .cutoff_us = orders[i]->due.cutoff_us};
        tallies[i] = (struct tally){.tenants = counts, .n_tenants = 1, .records = counts->count};
    }
    return 0;
}

static int fake_undecidable(struct store *store, const struct target *target, int64_t now_us, struct arena *arena,
                            const struct undecidable **ret_items, size_t *ret_count, struct err *err) {
    static const struct undecidable empty = {"since-empty", "issued_on", 4};
    (void)store, (void)now_us, (void)arena, (void)err;
    *ret_items = &empty;
    *ret_count = target->since != NULL;
    return 0;
}

static int fake_explain(struct store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
                        struct err *err) {
    (void)store, (void)target, (void)key, (void)arena, (void)err;
    *ret_facts = (struct record_facts){.exists = !answers.no_record, .tenant = "1042", .only_holds = true, .anchor_ok = {true}};
    return 0;
}

static const char *const schemes[] = {"postgresql", NULL};
static const struct store_driver fake_driver = {
    .kind = STORE_POSTGRESQL, .name = "PostgreSQL", .schemes = schemes, .open = fake_open, .close = fake_close, .ping = fake_ping,
    .tenants = fake_tenants, .tenants_tables = fake_tenants_tables, .check = fake_check, .advise = fake_advise, .grants = fake_grants,
    .draft = fake_draft, .probe = fake_count, .count = fake_count, .undecidable = fake_undecidable, .explain = fake_explain,
};

/* ---- running lapsectl ---- */

static const struct verb *const verbs[] = {&verb_check, &verb_grants, &verb_policy, &verb_plan, &verb_explain, &verb_status, &verb_findings};
static char folder[TEMPORARY_ROOM], config[2 * TEMPORARY_ROOM];
static char *out, *errors;

static const char rules[] =
    "schedule = (\n"
    "  { data = \"Customer Data\"; keep = \"subscription + 30 days\"; basis = \"Contract\"; targets = ( { table = \"brands\"; tenant = \"customer_id\"; } ); },\n"
    "  { data = \"Billing Records\"; keep = \"7 years\"; basis = \"Tax\"; targets = ( { table = \"invoices\"; tenant = \"customer_id\"; since = \"issued_on\"; dependents = [ \"invoice_lines.invoice_id\" ]; } ); }\n"
    ");\n";

static void write_config(const char *schedule_text) {
    struct err err;
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    buf_printf(&text, "stores = { main = { url = \"postgresql://keeper@localhost/x\"; }; };\n"
                      "tenants = { store = \"main\"; ends = [ \"subscription\" ]; query = \"SELECT id AS tenant, ended AS subscription FROM customers\"; };\n"
                      "journal = { folder = \"journal\"; };\nstate = \"state\";\nrun = \"run\";\n%s", schedule_text);
    ck_assert_int_eq(text_write_file(config, text.text, text.length, 0600, &err), 0);
}

static void set_up(const char *schedule_text) {
    memset(&answers, 0, sizeof answers);
    ck_assert(temporary_folder(folder));
    (void)snprintf(config, sizeof config, "%s/lapsed.conf", folder);
    write_config(schedule_text);
    store_register(&fake_driver);
}

static void tear_down(void) {
    (void)unlink(config);
    (void)rmdir(folder);
    free(out);
    free(errors);
}

static int run(const char *arguments) {
    char words[256], *argv[16] = {words}, *rest = NULL;
    int argc = 0;
    (void)snprintf(words, sizeof words, "lapsectl %s -c %s", arguments, config);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) argv[argc++] = word;
    free(out);
    free(errors);
    size_t out_length, errors_length;
    FILE *out_file = open_memstream(&out, &out_length), *errors_file = open_memstream(&errors, &errors_length);
    int status = command_run(verbs, sizeof verbs / sizeof *verbs, argc, argv, out_file, errors_file);
    (void)fclose(out_file);
    (void)fclose(errors_file);
    return status;
}

/* ---- the tests ---- */

START_TEST(check_sums_up) {
    set_up(rules);
    ck_assert_int_eq(run("check"), 0);
    ck_assert_str_eq(out, "2 rules, 2 targets in 1 store: no faults, 0 remarks\n");
    answers.remark = true;
    ck_assert_int_eq(run("check"), 0);
    ck_assert_str_eq(out, "remark: store \"main\": invoices.issued_on: an index would help\n"
                          "2 rules, 2 targets in 1 store: no faults, 1 remark\n");
    answers.faulty = true;
    ck_assert_int_eq(run("check"), 78);
    ck_assert_ptr_nonnull(strstr(out, "lapsed.conf:7: \"brands\" has no column \"customer_id\"; write its tenant column\n"));
    ck_assert_ptr_nonnull(strstr(out, "2 rules, 2 targets in 1 store: 1 fault, 1 remark\n"));
    tear_down();
}
END_TEST

START_TEST(check_says_which_store_could_not_be_asked) {
    set_up(rules);
    answers.down = true;
    ck_assert_int_eq(run("check"), 75);
    ck_assert_str_eq(out, "not asked: store \"main\": cannot be reached\n"
                          "2 rules, 2 targets in 1 store: no faults, 0 remarks, 1 store could not be asked\n");
    ck_assert_int_eq(run("check --json"), 75);
    json_t *object = json_loads(out, 0, NULL);
    ck_assert(json_is_false(json_object_get(object, "well")));
    ck_assert_uint_eq(json_array_size(json_object_get(object, "stores_not_asked")), 1);
    json_decref(object);
    tear_down();
}
END_TEST

START_TEST(check_drafts_where_there_are_no_rules) {
    set_up("");
    ck_assert_int_eq(run("check"), 0);
    ck_assert_ptr_nonnull(strstr(out, "# There are no rules yet."));
    ck_assert_ptr_nonnull(strstr(out, "\nschedule = (\n\n  # ---- store \"main\" (PostgreSQL) ----\n  # { data = \"Brands\"; }\n);\n"));
    /* What it prints is itself a schedule without rules. */
    char *draft = out;
    out = NULL;
    write_config(draft);
    ck_assert_int_eq(run("check"), 0);
    ck_assert_str_eq(out, draft);
    free(draft);
    tear_down();
}
END_TEST

START_TEST(a_faulty_schedule_stops_every_command) {
    static const char *const commands[] = {"check", "grants", "policy", "plan", "explain invoices 1", "status", "findings"};
    set_up("schedule = ( { data = \"Billing Records\"; keep = \"7\"; basis = \"Tax\"; targets = ( { table = \"invoices\"; tenant = \"none\"; since = \"at\"; } ); } );\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        ck_assert_int_eq(run(commands[i]), 78);
        ck_assert_ptr_nonnull(strstr(i ? errors : out, "lapsed.conf:6: \"Billing Records\": keep = \"7\" has no unit"));
    }
    tear_down();
}
END_TEST

START_TEST(grants_are_for_the_user_in_the_url) {
    set_up(rules);
    ck_assert_int_eq(run("grants"), 0);
    ck_assert_str_eq(out, "GRANT SELECT, DELETE ON brands TO keeper;\n");
    ck_assert_int_eq(run("grants --role sweeper --store main"), 0);
    ck_assert_str_eq(out, "GRANT SELECT, DELETE ON brands TO sweeper;\n");
    ck_assert_int_eq(run("grants --store elsewhere"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "has no store \"elsewhere\""));
    tear_down();
}
END_TEST

START_TEST(plan_shows_what_was_counted) {
    set_up(rules);
    ck_assert_int_eq(run("plan --at 2026-11-23T09:14:07Z"), 0);
    ck_assert_str_eq(out, "as of 2026-11-23 09:14:07 UTC; nothing is changed by this command\n"
                          "RULE             KEEP                        DUE  TENANTS  OLDEST DUE  STATE\n"
                          "Customer Data    subscription + 30 days        5        1  1970-01-31  waits: due for the first time\n"
                          "Billing Records  7 years                       3        1  1977-01-01  waits: due for the first time\n"
                          "kept: 0 blocked, 0 held, 4 undecidable (invoices.issued_on is empty: lapsectl findings)\n"
                          "\n"
                          "TENANT      DUE  MOST OF IT UNDER\n"
                          "1042          5  Customer Data\n"
                          "7             3  Billing Records\n"
                          "\n"
                          "waits: \"Customer Data\": 5 records of 1 tenant are due for the first time; nothing is destroyed until \"lapsectl approve 0d10c5bc\"\n"
                          "waits: \"Billing Records\": 3 records of 1 tenant are due for the first time; nothing is destroyed until \"lapsectl approve e8eb0ae3\"\n"
                          "\n"
                          "next: lapsectl approve   (lists what waits for a person, and how to say yes)\n");
    tear_down();
}
END_TEST

START_TEST(plan_of_one_tenant_asks_for_that_one_alone) {
    set_up(rules);
    ck_assert_int_eq(run("plan --tenant 7 --json"), 0);
    json_t *object = json_loads(out, 0, NULL), *rows = json_object_get(object, "rules");
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(rows, 0), "due")), 0); /* its subscription is running */
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(rows, 1), "due")), 5); /* asked as a listed tenant */
    json_decref(object);
    tear_down();
}
END_TEST

START_TEST(plan_says_what_is_known_of_the_tenant) {
    set_up(rules);
    ck_assert_int_eq(run("plan --tenant 7"), 0);
    ck_assert_ptr_nonnull(strstr(out, "\ntenant 7 only: subscription is running\n"));
    ck_assert_int_eq(run("plan --tenant 1042"), 0);
    ck_assert_ptr_nonnull(strstr(out, "\ntenant 1042 only: subscription ended on 1970-01-01\n"));
    ck_assert_int_eq(run("plan --tenant 8"), 0);
    ck_assert_ptr_nonnull(strstr(out, "\ntenant 8 only; it is not in the list of tenants, so only rules by age apply\n"));
    tear_down();
}
END_TEST

START_TEST(plan_tells_what_it_could_not_ask) {
    set_up(rules);
    answers.faulty = true;
    ck_assert_int_eq(run("plan"), 78);
    ck_assert_ptr_nonnull(strstr(out, "waits: brands is faulty (lapsectl check)\n"));
    ck_assert_ptr_nonnull(strstr(errors, "the catalogs disagree with the schedule in 1 place: lapsectl check\n"));
    answers.faulty = false;
    answers.down = true;
    ck_assert_int_eq(run("plan"), 75);
    ck_assert_ptr_nonnull(strstr(errors, "store \"main\": cannot be reached"));
    ck_assert_int_eq(run("plan --at tomorrow"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "--at \"tomorrow\" is not a time; write 2026-12-31"));
    tear_down();
}
END_TEST

START_TEST(explain_finds_the_target) {
    set_up(rules);
    ck_assert_int_eq(run("explain invoices 4711"), 0);
    ck_assert_ptr_nonnull(strstr(out, "invoices 4711 (store main) belongs to tenant 1042. \"Billing Records\" (7 years) destroys it"));
    answers.no_record = true;
    ck_assert_int_eq(run("explain invoices 4711"), 1);
    ck_assert_str_eq(errors, "lapsectl: invoices has no record 4711 (store main)\n");
    ck_assert_int_eq(run("explain invocies 4711"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "did you mean \"invoices\"?"));
    ck_assert_int_eq(run("explain invoice_lines 1"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "are dependents of \"invoices\""));
    tear_down();
}
END_TEST

START_TEST(the_journal_folder_has_no_lock_yet) {
    set_up(rules);
    ck_assert_int_eq(run("status"), 2);
    ck_assert_str_eq(out, "lapsed is not running; start it: systemctl start lapsed (journalctl -u lapsed says why it does not)\n");
    ck_assert_int_eq(run("findings"), 2);
    ck_assert_str_eq(out, "not known: no sweep has ended yet\n");
    tear_down();
}
END_TEST

UNIT_MAIN("verbs", check_sums_up, check_says_which_store_could_not_be_asked, check_drafts_where_there_are_no_rules,
          a_faulty_schedule_stops_every_command, grants_are_for_the_user_in_the_url, plan_shows_what_was_counted,
          plan_of_one_tenant_asks_for_that_one_alone, plan_says_what_is_known_of_the_tenant, plan_tells_what_it_could_not_ask, explain_finds_the_target,
          the_journal_folder_has_no_lock_yet)
