#include "base/text.h"
#include "base/time.h"
#include "command/ask.h"
#include "command/table.h"
#include "command/verbs.h"
#include "request/ledger.h"

#include <jansson.h>
#include <string.h>

enum { LEAST_DIGITS = 8 };

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void free_brakes(struct brakes **brakes) { brakes_free(*brakes); }

/* What may be approved: what waits since the last sweep, and rules that will wait in the next one. */
struct candidate {
    const char *rule;   /* NULL: the list of tenants */
    const char *digest; /* of the rule as it is written now */
    const char *text;   /* why it waits; NULL: no sweep has looked yet, or it was changed since */
    const struct waiting *waiting; /* NULL where there is no text */
    bool never_ran;
    bool approved;      /* already, for all tenants */
};

struct candidates {
    struct arena *arena;
    struct candidate *items;
    size_t count;
};

static bool is_approved(const struct approvals *approvals, const char *digest) {
    for (size_t i = 0; i < approvals->count; i++)
        if (!approvals->items[i].tenant && !strcmp(approvals->items[i].digest, digest)) return true;
    return false;
}

static const struct waiting *find_waiting(const struct waiting *items, size_t count, const char *rule) {
    for (size_t i = 0; i < count; i++)
        if (text_equal(items[i].rule, rule)) return &items[i];
    return NULL;
}

static void add(struct candidates *to, const struct approvals *approvals, const char *rule, const char *digest, const struct waiting *waiting, bool never_ran) {
    bool same = waiting && !strcmp(waiting->digest, digest);
    *ARENA_APPEND(to->arena, to->items, to->count) =
        (struct candidate){.rule = rule, .digest = arena_strdup(to->arena, digest), .text = same ? waiting->text : NULL,
                           .waiting = same ? waiting : NULL, .never_ran = never_ran, .approved = is_approved(approvals, digest)};
}

static int read_candidates(const struct schedule *schedule, struct arena *arena, struct candidates *ret_candidates, struct err *err) {
    __attribute__((cleanup(free_brakes))) struct brakes *brakes = NULL;
    struct ledger_copy copy;
    const struct waiting *waiting;
    const char *state = schedule->settings.state_folder;
    if (brakes_load(state, &brakes, err) || ledger_copy_read(state, arena, &copy, err)) return -1;
    size_t n_waiting = brakes_waiting(brakes, arena, &waiting);
    struct candidates candidates = {.arena = arena};
    const struct waiting *list = find_waiting(waiting, n_waiting, NULL);
    if (list) add(&candidates, &copy.approvals, NULL, list->digest, list, false);
    for (size_t i = 0; i < schedule->n_rules; i++) {
        const struct rule *rule = &schedule->rules[i];
        const struct rule_digest digest = rule_digest(schedule, rule);
        const struct waiting *known = find_waiting(waiting, n_waiting, rule->data);
        bool never_ran = schedule->settings.brakes.first_run && !brakes_ran(brakes, rule, digest.reach);
        if (known || never_ran) add(&candidates, &copy.approvals, rule->data, digest.text, known, never_ran);
    }
    for (size_t i = 0; i < candidates.count; i++) {
        struct candidate *item = &candidates.items[i];
        if (item->text) item->text = arena_strdup(arena, item->text);
        if (!item->waiting) continue;
        struct waiting *copied = ARENA_NEW(arena, struct waiting);
        *copied = *item->waiting;
        item->waiting = copied;
    }
    *ret_candidates = candidates;
    return 0;
}

/* ---- the list ---- */

static const char *state_text(struct arena *arena, const struct candidate *item) {
    if (item->text) return item->text;
    if (item->never_ran) return arena_printf(arena, "\"%s\": has not run as it is written now; lapsectl plan counts what is due", item->rule);
    return arena_printf(arena, "\"%s\": was changed since it waited; the next sweep says what is due", item->rule);
}

static void print_list(struct arena *arena, const struct candidates *candidates, FILE *to, bool colour) {
    static const struct table_column columns[] = {{"DIGEST", ALIGN_LEFT, 0}, {"STATE", ALIGN_LEFT, 0}, {"WHY", ALIGN_LEFT, 0}};
    struct table *table = table_new(arena, columns, sizeof columns / sizeof *columns);
    if (!candidates->count) {
        (void)fputs("nothing waits for an approval\n", to);
        return;
    }
    bool any = false;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *item = &candidates->items[i];
        any |= !item->approved;
        table_cell(table, STYLE_PLAIN, arena_printf(arena, "%.8s", item->digest));
        table_cell(table, item->approved ? STYLE_GOOD : item->text ? STYLE_WARNING : STYLE_FAINT, item->approved ? "approved" : item->text ? "waits" : "new");
        table_cell(table, STYLE_PLAIN, state_text(arena, item));
    }
    table_print(table, to, colour);
    if (any) (void)fputs("\nnext: lapsectl plan, then lapsectl approve DIGEST, or --tenant T to try one customer first, or --all\n", to);
    else (void)fputs("\nnext: systemctl kill -s USR1 lapsed   (sweeps now)\n", to);
}

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static void print_list_json(struct arena *arena, const struct candidates *candidates, FILE *to) {
    json_t *items = json_array();
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *item = &candidates->items[i];
        (void)json_array_append_new(items, json_pack("{s:o, s:s, s:b, s:b, s:s, s:o, s:o}", "rule", text_or_null(item->rule), "digest", item->digest, "waits",
                                                     item->text != NULL, "approved", item->approved, "text", state_text(arena, item), "records",
                                                     item->waiting ? json_integer(item->waiting->records) : json_null(), "tenants",
                                                     item->waiting ? json_integer(item->waiting->tenants) : json_null()));
    }
    json_t *object = json_pack("{s:i, s:o}", "v", 1, "waiting", items);
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}

/* ---- approving ---- */

static int approve_one(const struct invocation *invocation, const struct candidate *item, const char *tenant) {
    const struct request request = {.kind = REQUEST_APPROVE, .digest = item->digest, .tenant = tenant};
    return ask_daemon(invocation, &request, NULL);
}

static int approve_all(const struct invocation *invocation, const struct candidates *candidates, const char *tenant) {
    int status = EXIT_WELL;
    size_t asked = 0;
    for (size_t i = 0; i < candidates->count && (status == EXIT_WELL || status == EXIT_LATER); i++) {
        const struct candidate *item = &candidates->items[i];
        if (item->approved || (tenant && !item->rule)) continue;
        int one = approve_one(invocation, item, tenant);
        if (one) status = one;
        asked++;
    }
    if (!asked) (void)fputs("nothing waits for an approval\n", invocation->out);
    return status;
}

static int approve_digest(const struct invocation *invocation, const struct candidates *candidates, const char *digits, const char *tenant) {
    const struct candidate *found = NULL;
    size_t length = strlen(digits);
    if (length < LEAST_DIGITS || length > 64 || strspn(digits, "0123456789abcdef") != length)
        return command_fail(invocation, EXIT_USAGE, "\"%s\" is no digest; write at least eight of its digits, as lapsectl approve lists it", digits);
    for (size_t i = 0; i < candidates->count; i++) {
        if (strncmp(candidates->items[i].digest, digits, length) != 0) continue;
        if (found) return command_fail(invocation, EXIT_USAGE, "\"%s\" is more than one; write more of its digits", digits);
        found = &candidates->items[i];
    }
    if (!found) return command_fail(invocation, EXIT_REFUSED, "nothing waits under %s; a rule that was changed has another digest now: lapsectl approve lists what waits", digits);
    if (tenant && !found->rule) return command_fail(invocation, EXIT_USAGE, "the list of tenants is approved whole, without --tenant");
    return approve_one(invocation, found, tenant);
}

static int run_approve(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    const char *digits = invocation->n_operands ? invocation->operands[0] : NULL, *tenant = command_value(invocation, "tenant");
    bool all = command_given(invocation, "all");
    struct candidates candidates;
    struct err err;
    if (command_given(invocation, "clock")) {
        const struct request request = {.kind = REQUEST_CLOCK};
        if (digits || all || tenant) return command_fail(invocation, EXIT_USAGE, "--clock stands alone");
        return ask_daemon(invocation, &request, NULL);
    }
    if (digits && all) return command_fail(invocation, EXIT_USAGE, "write a digest or --all, one of them");
    int status = command_load(invocation, false, &schedule);
    if (status) return status;
    if (read_candidates(schedule, arena, &candidates, &err)) return command_fail_err(invocation, &err);
    if (digits) return approve_digest(invocation, &candidates, digits, tenant);
    if (all || tenant) return approve_all(invocation, &candidates, tenant);
    if (invocation->json) print_list_json(arena, &candidates, invocation->out);
    else print_list(arena, &candidates, invocation->out, invocation->colour);
    return EXIT_WELL;
}

static const struct option options[] = {
    {"all", NULL, "approve everything that waits"},
    {"clock", NULL, "accept the present time, after the clock was set"},
    {"tenant", "T", "only what is due of this tenant: try one customer first"},
};

const struct verb verb_approve = {
    .name = "approve",
    .group = "Before a sweep",
    .summary = "what waits for a person's word, and that word",
    .operands = "[DIGEST]",
    .n_operands = 1,
    .operands_optional = true,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .notes = "Without arguments it lists what waits, why, and under which digest. An approval covers what\n"
             "was due when it was given, under the rule as it was written then; a changed rule needs\n"
             "another. It is carried out by the next sweep.\n"
             "Exits with 75 if lapsed has not answered yet, 77 if it refused.",
    .run = run_approve,
};
