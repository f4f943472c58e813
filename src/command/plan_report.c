#include "command/plan_report.h"

#include "base/text.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

struct making {
    struct arena *arena;
    const struct inspection *inspection;
    const struct plan_report *report;
};

/* ---- one order ---- */

static enum plan_stage stage_of(const struct order *order) {
    if (order->action == ACTION_PURGE) return STAGE_PURGE;
    return order->blocked_only ? STAGE_ANONYMIZE_BLOCKED : STAGE_ANONYMIZE;
}

/* The period that was counted with: the schedule's own, or a longer one that still counts (notice, a tenant's own). */
static struct period period_in_force(const struct making *making, const struct order *order) {
    const struct inspection *inspection = making->inspection;
    struct period period = order->keep->period;
    enum keep_slot slot = stage_of(order) == STAGE_ANONYMIZE ? SLOT_ANONYMIZE : SLOT_KEEP;
    if (inspection->history)
        (void)history_period(inspection->history, inspection->schedule, order->target->rule, slot, order->keep,
                             making->report->now_us, &period);
    return period;
}

/* Since when the tenant's oldest record is due. Where a period of its own was counted with, the distance between record
 * and cutoff says it (months of unlike length may be some days off). */
static int64_t due_since(const struct making *making, const struct order *order, const struct tenant_count *count) {
    int64_t now_us = making->report->now_us;
    if (count->oldest_us == TIME_FOREVER || count->oldest_us == TIME_NEVER) return TIME_FOREVER;
    struct period period = period_in_force(making, order);
    int64_t since_us = period.count ? period_after(count->oldest_us, period) : count->oldest_us;
    if (order->due.anchor && period.count && period_cutoff(now_us, period) != count->cutoff_us)
        since_us = now_us - (count->cutoff_us - count->oldest_us);
    return since_us < now_us ? since_us : now_us;
}

/* ---- a row ---- */

/* What a row is added up in. */
struct sum {
    struct plan_row row;
    struct plan_blocked *blocked;
    const char **waits;
    const char **ids; /* of tenants, with doubles */
    size_t n_ids;
};

static void add_blocked(struct making *making, struct sum *sum, const struct target *target, const struct blocked_count *blocked) {
    for (size_t i = 0; i < sum->row.n_blocked; i++) {
        if (!text_equal(sum->blocked[i].target->name, target->name) || !text_equal(sum->blocked[i].by, blocked->by)) continue;
        sum->blocked[i].count += blocked->count;
        return;
    }
    *ARENA_APPEND(making->arena, sum->blocked, sum->row.n_blocked) =
        (struct plan_blocked){.target = target, .by = blocked->by, .count = blocked->count};
}

static void add_wait(struct making *making, struct sum *sum, const char *why) {
    for (size_t i = 0; i < sum->row.n_waits; i++)
        if (!strcmp(sum->waits[i], why)) return;
    *ARENA_APPEND(making->arena, sum->waits, sum->row.n_waits) = why;
}

static void add_tenants(struct making *making, struct sum *sum, const struct order *order, const struct tenant_count *tenants, size_t n_tenants) {
    for (size_t i = 0; i < n_tenants; i++) {
        int64_t since_us = due_since(making, order, &tenants[i]);
        if (since_us < sum->row.oldest_due_us) sum->row.oldest_due_us = since_us;
        if (*tenants[i].tenant) *ARENA_APPEND(making->arena, sum->ids, sum->n_ids) = tenants[i].tenant;
    }
}

static void add_tally(struct making *making, struct sum *sum, const struct inspect_order *counted) {
    const struct tally *tally = &counted->tally;
    sum->row.free += tally->records;
    sum->row.n_waiting_tenants += counted->waiting_tenants;
    sum->row.due += tally->records + tally->n_blocked_records;
    if (tally->dependents > 0) sum->row.dependents += tally->dependents;
    for (size_t i = 0; i < tally->n_blocked; i++) add_blocked(making, sum, counted->order->target, &tally->blocked[i]);
    add_tenants(making, sum, counted->order, tally->tenants, tally->n_tenants);
    add_tenants(making, sum, counted->order, tally->blocked_tenants, tally->n_blocked_tenants);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static size_t count_different(const char **ids, size_t n_ids) {
    size_t different = 0;
    if (n_ids) qsort(ids, n_ids, sizeof *ids, by_text);
    for (size_t i = 0; i < n_ids; i++) different += !i || strcmp(ids[i - 1], ids[i]) != 0;
    return different;
}

/* Targets that are not asked at all: faulty ones, and those of a store that is down. */
static void add_waits(struct making *making, struct sum *sum, const struct rule *rule) {
    const struct inspection *inspection = making->inspection;
    for (size_t i = 0; i < rule->n_targets; i++) {
        const struct target *target = &rule->targets[i];
        const struct store_conf *store = target->store;
        if (inspection->store_errors && inspection->store_errors[store - inspection->schedule->stores].code != ERR_NONE)
            add_wait(making, sum, arena_printf(making->arena, "store %s cannot be asked", store->name));
        else if (inspection->bad && inspection->bad[target->number])
            add_wait(making, sum, arena_printf(making->arena, "%s is faulty (lapsectl check)", target->name));
    }
}

static const char *keep_text(struct making *making, const struct rule *rule, enum plan_stage stage) {
    if (stage == STAGE_ANONYMIZE) return schedule_keep_text(making->arena, rule->anonymize, rule->n_anonymize);
    const char *text = schedule_keep_text(making->arena, rule->keep, rule->n_keep);
    return rule->per_tenant && stage == STAGE_PURGE ? arena_printf(making->arena, "%s, or own", text) : text;
}

static bool is_forever(const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++)
        if (rule->keep[i].kind != KEEP_FOREVER) return false;
    return true;
}

static struct plan_row make_row(struct making *making, const struct rule *rule, enum plan_stage stage) {
    struct sum sum = {.row = {.rule = rule, .stage = stage, .oldest_due_us = TIME_FOREVER}};
    add_waits(making, &sum, rule);
    for (size_t i = 0; i < making->inspection->n_orders; i++) {
        const struct inspect_order *counted = &making->inspection->orders[i];
        if (counted->order->target->rule != rule || stage_of(counted->order) != stage) continue;
        if (counted->asked) add_tally(making, &sum, counted);
        if (counted->why && (counted->asked || !sum.row.n_waits)) add_wait(making, &sum, counted->why);
    }
    for (size_t i = 0; i < making->inspection->n_held; i++) {
        const struct inspect_order *counted = &making->inspection->held[i];
        if (counted->order->target->rule != rule || stage_of(counted->order) != stage) continue;
        if (counted->asked) sum.row.held += counted->tally.records + counted->tally.n_blocked_records;
        else if (counted->why && !sum.row.n_waits) add_wait(making, &sum, counted->why);
    }
    for (size_t i = 0; i < rule->n_targets; i++) sum.row.has_tenants |= !rule->targets[i].no_tenant;
    sum.row.keep = keep_text(making, rule, stage);
    sum.row.forever = stage == STAGE_PURGE && is_forever(rule);
    sum.row.n_tenants = count_different(sum.ids, sum.n_ids);
    if (making->inspection->leaves) sum.row.leave = &making->inspection->leaves[rule->number];
    sum.row.blocked = sum.blocked;
    sum.row.waits = sum.waits;
    return sum.row;
}

static void make_rows(struct making *making, struct plan_report *report) {
    const struct schedule *schedule = making->inspection->schedule;
    struct plan_row *rows = NULL;
    for (size_t i = 0; i < schedule->n_rules; i++) {
        const struct rule *rule = &schedule->rules[i];
        struct plan_row purge = make_row(making, rule, STAGE_PURGE);
        struct plan_row blocked = make_row(making, rule, STAGE_ANONYMIZE_BLOCKED);
        *ARENA_APPEND(making->arena, rows, report->n_rows) = purge;
        if (rule->n_anonymize)
            *ARENA_APPEND(making->arena, rows, report->n_rows) = make_row(making, rule, STAGE_ANONYMIZE);
        if (blocked.due || blocked.held) *ARENA_APPEND(making->arena, rows, report->n_rows) = blocked;
    }
    report->rows = rows;
}

/* ---- whose ---- */

struct share {
    const char *id;
    const struct rule *rule;
    int64_t due;
};

static int by_id_then_size(const void *a, const void *b) {
    const struct share *left = a, *right = b;
    int order = strcmp(left->id, right->id);
    return order ? order : (left->rule > right->rule) - (left->rule < right->rule);
}

static int by_size(const void *a, const void *b) {
    const struct plan_tenant *left = a, *right = b;
    if (left->due != right->due) return left->due < right->due ? 1 : -1;
    return strcmp(left->id, right->id);
}

/* The shares, sorted by tenant and rule, become one line for each tenant. */
static void add_up_shares(struct making *making, struct plan_report *report, const struct share *shares, size_t n_shares) {
    struct plan_tenant *tenants = NULL;
    int64_t of_rule = 0, most = 0;
    for (size_t i = 0; i < n_shares; i++) {
        bool same_tenant = i && !strcmp(shares[i - 1].id, shares[i].id);
        if (!same_tenant) {
            *ARENA_APPEND(making->arena, tenants, report->n_tenants) = (struct plan_tenant){.id = shares[i].id};
            most = 0;
        }
        struct plan_tenant *tenant = &tenants[report->n_tenants - 1];
        of_rule = (same_tenant && shares[i - 1].rule == shares[i].rule ? of_rule : 0) + shares[i].due;
        tenant->due += shares[i].due;
        if (of_rule > most) {
            most = of_rule;
            tenant->most = shares[i].rule;
        }
    }
    if (tenants) qsort(tenants, report->n_tenants, sizeof *tenants, by_size);
    report->tenants = tenants;
}

static void make_tenants(struct making *making, struct plan_report *report) {
    struct share *shares = NULL;
    size_t n_shares = 0;
    for (size_t i = 0; i < making->inspection->n_orders; i++) {
        const struct inspect_order *counted = &making->inspection->orders[i];
        for (size_t j = 0; counted->asked && j < counted->tally.n_tenants; j++) {
            const struct tenant_count *tenant = &counted->tally.tenants[j];
            if (!*tenant->tenant) continue;
            *ARENA_APPEND(making->arena, shares, n_shares) =
                (struct share){.id = tenant->tenant, .rule = counted->order->target->rule, .due = tenant->count};
        }
    }
    if (shares) qsort(shares, n_shares, sizeof *shares, by_id_then_size);
    add_up_shares(making, report, shares, n_shares);
}

/* ---- together ---- */

static void make_braked(struct making *making, struct plan_report *report) {
    const struct inspection *inspection = making->inspection;
    const char **texts = NULL;
    if (inspection->list_text) *ARENA_APPEND(making->arena, texts, report->n_braked) = inspection->list_text;
    for (size_t i = 0; inspection->leaves && i < inspection->schedule->n_rules; i++)
        if (inspection->leaves[i].text) *ARENA_APPEND(making->arena, texts, report->n_braked) = inspection->leaves[i].text;
    report->braked = texts;
    report->notes = inspection->plan->notes;
    report->n_notes = inspection->plan->n_notes;
}

/* "tenant 1042 only: subscription ended on 2026-08-01, account is running". */
static const char *tenant_text(struct making *making, const char *id) {
    const struct tenants_conf *conf = &making->inspection->schedule->tenants;
    const struct tenant *tenant = making->inspection->tenants ? tenants_find(making->inspection->tenants, id) : NULL;
    const char *text = arena_printf(making->arena, "tenant %s only", id);
    if (!tenant) return arena_printf(making->arena, "%s; it is not in the list of tenants, so only rules by age apply", text);
    for (size_t i = 0; i < conf->n_ends; i++) {
        const char *before = i ? ", " : ": ";
        if (tenant->undecidable_parent || tenant->undecidable_ends & 1U << i)
            text = arena_printf(making->arena, "%s%s%s contradicts itself", text, before, conf->ends[i]);
        else if (tenant->ends[i] > making->report->now_us)
            text = arena_printf(making->arena, "%s%s%s is running", text, before, conf->ends[i]);
        else
            text = arena_printf(making->arena, "%s%s%s ended on %s", text, before, conf->ends[i], time_format_day(tenant->ends[i]).text);
    }
    return text;
}

static int64_t count_blocked(const struct inspection *inspection) {
    int64_t blocked = 0;
    for (size_t i = 0; i < inspection->n_orders; i++) {
        const struct inspect_order *counted = &inspection->orders[i];
        if (counted->asked && counted->order->action == ACTION_PURGE) blocked += counted->tally.n_blocked_records;
    }
    return blocked;
}

struct plan_report *plan_report_make(struct arena *arena, const struct inspection *inspection, const char *tenant,
                                     const struct plan_undecidable *undecidable, size_t n_undecidable) {
    struct plan_report *report = ARENA_NEW(arena, struct plan_report);
    *report = (struct plan_report){.schedule = inspection->schedule, .now_us = inspection->plan->now_us, .tenant = tenant,
                                   .undecidable = undecidable, .n_undecidable = n_undecidable,
                                   .findings = inspection->plan->findings, .n_findings = inspection->plan->n_findings};
    struct making making = {.arena = arena, .inspection = inspection, .report = report};
    make_rows(&making, report);
    make_tenants(&making, report);
    make_braked(&making, report);
    report->n_blocked = count_blocked(inspection);
    for (size_t i = 0; i < report->n_rows; i++) report->n_held += report->rows[i].stage == STAGE_ANONYMIZE_BLOCKED ? 0 : report->rows[i].held;
    report->paused = inspection->asked.paused;
    report->paused_ground = inspection->asked.paused_ground;
    report->paused_since_us = inspection->asked.paused_since_us;
    if (tenant) report->tenant_text = tenant_text(&making, tenant);
    for (size_t i = 0; i < n_undecidable; i++)
        if (strcmp(undecidable[i].what.code, "survey-sampled") != 0) report->n_undecidable_records += undecidable[i].what.count;
    return report;
}

const char *plan_undecidable_text(struct arena *arena, const struct plan_undecidable *undecidable) {
    static const struct { const char *code, *text; } codes[] = {
        {"since-empty", "is empty"},
        {"since-future", "lies in the future"},
        {"since-type", "has the wrong type"},
        {"tenant-empty", "is empty"},
        {"tenant-unknown", "names a tenant that is not known"},
        {"tenant-ambiguous", "could be of two tenants"},
        {"field-unlisted", "is not listed under columns"},
        {"only-unreached", "has records that no rule's `only` lets in"},
        {"survey-sampled", "is too large to be counted in time: at least so many"},
    };
    const char *text = undecidable->what.code;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(codes[i].code, undecidable->what.code)) text = codes[i].text;
    const char *column = undecidable->what.column;
    if (undecidable->target->kind == TARGET_KEYS && column)
        return arena_printf(arena, "%s of %s %s", column, undecidable->target->name, text);
    return arena_printf(arena, "%s%s%s %s", undecidable->target->name, column ? "." : "", column ? column : "", text);
}
