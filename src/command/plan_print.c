#include "command/plan_report.h"

#include "base/text.h"
#include "base/time.h"
#include "command/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { LARGEST_TENANTS = 10, LEAST_NUMBER_WIDTH = 7 };

static const char *const stage_names[N_STAGES] = {
    [STAGE_PURGE] = "purge", [STAGE_ANONYMIZE] = "anonymize", [STAGE_ANONYMIZE_BLOCKED] = "anonymize-blocked"};

/* ---- the state of a row ---- */

static const char *and_then(struct arena *arena, const char *before, const char *more) {
    return *before ? arena_printf(arena, "%s; %s", before, more) : more;
}

static const char *blocked_text(struct arena *arena, const struct plan_row *row) {
    const char *text = "blocked: ";
    for (size_t i = 0; i < row->n_blocked; i++)
        text = arena_printf(arena, "%s%s%s %s by %s", text, i ? ", " : "", text_number(row->blocked[i].count).text,
                            row->blocked[i].target->name, row->blocked[i].by);
    return text;
}

/* What may go of what is due and free. */
static const char *leave_text(struct arena *arena, const struct plan_row *row, enum style *ret_style) {
    const struct leave *leave = row->leave;
    *ret_style = STYLE_GOOD;
    if (!leave || leave->brake == BRAKE_NONE) return "ready";
    if (leave->as_of_us != TIME_NEVER) return arena_printf(arena, "ready: approved %s", time_format_seconds(leave->as_of_us).text);
    *ret_style = STYLE_WARNING;
    const char *text = arena_printf(arena, "waits: %s", leave->brief ? leave->brief : "approval");
    for (size_t i = 0; i < leave->n_tenants; i++) text = arena_printf(arena, "%s%s%s", text, i ? ", " : ", but for tenant ", leave->tenants[i].tenant);
    return text;
}

static const char *state_text(struct arena *arena, const struct plan_row *row, enum style *ret_style) {
    const char *text = "";
    *ret_style = STYLE_FAINT;
    if (row->free) text = leave_text(arena, row, ret_style);
    if (row->n_blocked) {
        text = and_then(arena, text, blocked_text(arena, row));
        *ret_style = STYLE_WARNING;
    }
    if (row->held) {
        text = and_then(arena, text, arena_printf(arena, "held: %s", text_number(row->held).text));
        *ret_style = STYLE_WARNING;
    }
    if (row->n_waiting_tenants)
        text = and_then(arena, text, arena_printf(arena, "waits: %s tenants have other records that are kept longer",
                                                  text_number(row->n_waiting_tenants).text));
    for (size_t i = 0; i < row->n_waits; i++) {
        text = and_then(arena, text, arena_printf(arena, "waits: %s", row->waits[i]));
        *ret_style = STYLE_BAD;
    }
    if (*text) return text;
    return row->forever ? "kept forever" : "nothing due";
}

/* ---- text ---- */

static const char *name_text(struct arena *arena, const struct plan_row *row) {
    if (row->stage == STAGE_PURGE) return row->rule->data;
    if (row->stage == STAGE_ANONYMIZE_BLOCKED) return "  anonymized if blocked";
    bool period_only = row->rule->n_anonymize == 1 && row->rule->anonymize[0].kind == KEEP_AGE;
    return arena_printf(arena, "  anonymized %s %s", period_only ? "after" : "at", row->keep);
}

static void print_rows(struct arena *arena, const struct plan_report *report, FILE *to, bool colour) {
    static const struct table_column columns[] = {
        {"RULE", ALIGN_LEFT, 0},     {"KEEP", ALIGN_LEFT, 0},        {"DUE", ALIGN_RIGHT, LEAST_NUMBER_WIDTH},
        {"TENANTS", ALIGN_RIGHT, 0}, {"OLDEST DUE", ALIGN_LEFT, 10}, {"STATE", ALIGN_LEFT, 0},
    };
    struct table *table = table_new(arena, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct plan_row *row = &report->rows[i];
        bool unknown = row->n_waits && !row->due; /* not asked is not zero */
        bool countable = row->has_tenants && (row->n_tenants || !row->due);
        enum style style;
        const char *state = state_text(arena, row, &style);
        table_cell(table, STYLE_PLAIN, name_text(arena, row));
        table_cell(table, STYLE_PLAIN, row->stage == STAGE_PURGE ? row->keep : "");
        table_cell(table, STYLE_PLAIN, unknown ? "?" : text_number(row->due).text);
        table_cell(table, STYLE_PLAIN, unknown ? "?" : countable ? text_number((int64_t)row->n_tenants).text : "-");
        table_cell(table, STYLE_PLAIN, row->oldest_due_us == TIME_FOREVER ? "-" : time_format_day(row->oldest_due_us).text);
        table_cell(table, style, state);
    }
    table_print(table, to, colour);
}

/* The reason with the most records stands for all of them. */
static const struct plan_undecidable *foremost(const struct plan_report *report) {
    const struct plan_undecidable *most = NULL;
    for (size_t i = 0; i < report->n_undecidable; i++)
        if (report->undecidable[i].what.count > 0 && (!most || report->undecidable[i].what.count > most->what.count))
            most = &report->undecidable[i];
    return most;
}

static void print_kept(struct arena *arena, const struct plan_report *report, FILE *to) {
    const struct plan_undecidable *most = foremost(report);
    (void)fprintf(to, "kept: %s blocked, %s held, %s undecidable", text_number(report->n_blocked).text, text_number(report->n_held).text,
                  text_number(report->n_undecidable_records).text);
    if (most) (void)fprintf(to, " (%s: lapsectl findings)", text_printable(arena, plan_undecidable_text(arena, most)));
    (void)fputc('\n', to);
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct finding *finding = &report->findings[i];
        if (finding->rule)
            (void)fprintf(to, "note: \"%s\": %s %s\n", text_printable(arena, finding->rule), text_number(finding->count).text,
                          text_printable(arena, finding->text));
        else
            (void)fprintf(to, "note: %s %s\n", text_number(finding->count).text, text_printable(arena, finding->text));
    }
}

static void print_tenants(struct arena *arena, const struct plan_report *report, bool all, FILE *to, bool colour) {
    static const struct table_column columns[] = {
        {"TENANT", ALIGN_LEFT, 0}, {"DUE", ALIGN_RIGHT, LEAST_NUMBER_WIDTH}, {"MOST OF IT UNDER", ALIGN_LEFT, 0}};
    struct table *table = table_new(arena, columns, sizeof columns / sizeof *columns);
    size_t shown = all || report->n_tenants < LARGEST_TENANTS ? report->n_tenants : LARGEST_TENANTS;
    if (!shown || report->tenant) return;
    for (size_t i = 0; i < shown; i++) {
        table_cell(table, STYLE_PLAIN, report->tenants[i].id);
        table_cell(table, STYLE_PLAIN, text_number(report->tenants[i].due).text);
        table_cell(table, STYLE_PLAIN, report->tenants[i].most->data);
    }
    (void)fputc('\n', to);
    table_print(table, to, colour);
    size_t hidden = report->n_tenants - shown;
    if (hidden) (void)fprintf(to, "and %s more: lapsectl plan --all\n", text_number((int64_t)hidden).text);
}

static const char *next_command(const struct plan_report *report) {
    bool due = false;
    for (size_t i = 0; i < report->n_rows; i++) {
        if (report->rows[i].n_waits) return "lapsectl check   (says what is wrong with what waits)";
        due |= report->rows[i].free > 0;
    }
    if (report->n_braked) return "lapsectl approve   (lists what waits for a person, and how to say yes)";
    if (report->paused) return "lapsectl resume   (when the reason is gone)";
    return due ? "systemctl kill -s USR1 lapsed   (sweeps now)" : "lapsectl status";
}

void plan_report_print(struct arena *arena, const struct plan_report *report, bool all_tenants, FILE *to, bool colour) {
    (void)fprintf(to, "as of %s; nothing is changed by this command\n", time_format_seconds(report->now_us).text);
    if (report->tenant) (void)fprintf(to, "%s\n", text_printable(arena, report->tenant_text));
    if (report->paused)
        (void)fprintf(to, "paused since %s (%s): nothing is destroyed until \"lapsectl resume\"\n", time_format_seconds(report->paused_since_us).text,
                      text_printable(arena, report->paused_ground ? report->paused_ground : ""));
    print_rows(arena, report, to, colour);
    print_kept(arena, report, to);
    for (size_t i = 0; i < report->n_notes; i++) (void)fprintf(to, "note: %s\n", text_printable(arena, report->notes[i]));
    print_tenants(arena, report, all_tenants, to, colour);
    for (size_t i = 0; i < report->n_braked; i++) (void)fprintf(to, "%swaits: %s\n", i ? "" : "\n", text_printable(arena, report->braked[i]));
    (void)fprintf(to, "\nnext: %s\n", next_command(report));
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static json_t *row_json(struct arena *arena, const struct plan_row *row) {
    enum style ignored;
    json_t *blocked = json_array();
    for (size_t i = 0; i < row->n_blocked; i++)
        (void)json_array_append_new(blocked, json_pack("{s:s, s:s, s:I}", "target", row->blocked[i].target->name, "by",
                                                       row->blocked[i].by, "count", (json_int_t)row->blocked[i].count));
    bool known = row->oldest_due_us != TIME_FOREVER;
    const struct time_text oldest = time_format(known ? row->oldest_due_us : 0);
    const struct leave *leave = row->leave;
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:s}", "rule", row->rule->data, "stage", stage_names[row->stage],
                     "keep", row->keep, "complete", !row->n_waits, "digest",
                     text_or_null(leave ? leave->digest.text : NULL), "waits", text_or_null(leave ? leave->text : NULL), "due", (json_int_t)row->due, "ready", (json_int_t)row->free, "held", (json_int_t)row->held, "dependents",
                     (json_int_t)row->dependents, "tenants", (json_int_t)row->n_tenants, "oldest_due", text_or_null(known ? oldest.text : NULL),
                     "blocked", blocked, "state", state_text(arena, row, &ignored));
}

static json_t *undecidable_json(const struct plan_undecidable *item) {
    return json_pack("{s:s, s:s, s:o, s:s, s:I}", "store", item->target->store->name, "target", item->target->name, "column",
                     text_or_null(item->what.column), "code", item->what.code, "count", (json_int_t)item->what.count);
}

static json_t *finding_json(const struct finding *finding) {
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:s}", "code", finding->code, "rule", text_or_null(finding->rule), "store",
                     text_or_null(finding->store), "place", text_or_null(finding->place), "tenant", text_or_null(finding->tenant),
                     "count", (json_int_t)finding->count, "text", finding->text);
}

void plan_report_print_json(struct arena *arena, const struct plan_report *report, FILE *to) {
    json_t *rows = json_array(), *tenants = json_array(), *undecidable = json_array(), *findings = json_array();
    for (size_t i = 0; i < report->n_rows; i++) (void)json_array_append_new(rows, row_json(arena, &report->rows[i]));
    for (size_t i = 0; i < report->n_tenants; i++)
        (void)json_array_append_new(tenants, json_pack("{s:s, s:I, s:s}", "tenant", report->tenants[i].id, "due",
                                                       (json_int_t)report->tenants[i].due, "most", report->tenants[i].most->data));
    for (size_t i = 0; i < report->n_undecidable; i++)
        (void)json_array_append_new(undecidable, undecidable_json(&report->undecidable[i]));
    for (size_t i = 0; i < report->n_findings; i++) (void)json_array_append_new(findings, finding_json(&report->findings[i]));
    json_t *object = json_pack("{s:i, s:s, s:s, s:o, s:b, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:o}", "v", 1, "as_of",
                               time_format(report->now_us).text, "schedule", report->schedule->sha256, "tenant",
                               text_or_null(report->tenant), "paused", report->paused, "rules", rows, "kept", "blocked", (json_int_t)report->n_blocked, "held", (json_int_t)report->n_held,
                               "undecidable", (json_int_t)report->n_undecidable_records, "undecidable", undecidable, "findings",
                               findings, "tenants", tenants);
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}
