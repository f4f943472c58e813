#include "command/status.h"

#include "base/text.h"
#include "base/time.h"
#include "command/table.h"

#include <inttypes.h>
#include <string.h>

/* A sweep that begins this much after its time is late. */
#define SWEEP_LATE_US (15 * 60 * TIME_SECOND_US)

static bool field_time(const json_t *object, const char *name, int64_t *ret_us) {
    const char *text = json_text(object, name, NULL);
    return text && time_parse(text, ret_us);
}

static const char *time_or(struct arena *arena, const json_t *object, const char *name, const char *fallback) {
    int64_t us;
    return field_time(object, name, &us) ? arena_strdup(arena, time_format_seconds(us).text) : fallback;
}

/* ---- the verdict ---- */

static bool has_lag(const json_t *status) {
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(status, "rules"), i, rule) {
        if (json_number(rule, "lag_seconds", 0) > 0 || json_number(rule, "left", 0) != 0 || json_is_true(json_object_get(rule, "late"))) return true;
    }
    return false;
}

static bool has_store_down(const json_t *status) {
    size_t i;
    json_t *store;
    json_array_foreach(json_object_get(status, "stores"), i, store) {
        if (!text_equal(json_text(store, "state", "up"), "up")) return true;
    }
    return false;
}

/* "alarms" is the time from which it is one, null: never. Without it, it is. */
static bool has_alarm(const json_t *findings, int64_t now_us) {
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding) {
        int64_t alarms_us;
        if (json_is_null(json_object_get(finding, "alarms"))) continue;
        if (!field_time(finding, "alarms", &alarms_us) || alarms_us <= now_us) return true;
    }
    return false;
}

static bool is_late(const json_t *status, int64_t now_us) {
    int64_t next_us;
    return text_equal(json_text(status, "state", ""), "idle") && field_time(status, "next_sweep", &next_us) &&
           next_us + SWEEP_LATE_US < now_us;
}

enum status_verdict status_verdict(const struct daemon_state *state, int64_t now_us) {
    if (!state->running) return STATUS_STOPPED;
    if (!daemon_state_is_current(state)) return STATUS_ATTENTION;
    const json_t *status = state->status;
    const char *doing = json_text(status, "state", "");
    if (text_equal(doing, "stopping") || text_equal(doing, "paused")) return STATUS_STOPPED;
    bool attention = text_equal(doing, "waiting") || has_lag(status) || has_store_down(status) || json_array_size(json_object_get(status, "waiting")) || is_late(status, now_us) ||
                     has_alarm(state->findings, now_us);
    return attention ? STATUS_ATTENTION : STATUS_WELL;
}

/* ---- as people read it ---- */

static const char *span_text(struct arena *arena, int64_t seconds) {
    if (seconds <= 0) return "-";
    return arena_strdup(arena, time_format_span(seconds * TIME_SECOND_US).text);
}

static void print_state(struct arena *arena, const struct daemon_state *state, FILE *to, bool colour) {
    const json_t *status = state->status;
    if (!state->running) {
        style_print(to, colour, STYLE_BAD, "lapsed is not running");
        (void)fputs("; start it: systemctl start lapsed (journalctl -u lapsed says why it does not)\n", to);
        return;
    }
    if (!daemon_state_is_current(state)) {
        (void)fprintf(to, "lapsed is starting (process %jd)\n", (intmax_t)state->pid);
        return;
    }
    const char *doing = json_text(status, "state", "");
    style_print(to, colour, text_equal(doing, "waiting") || text_equal(doing, "paused") ? STYLE_WARNING : STYLE_GOOD, "lapsed is running");
    (void)fprintf(to, " (process %jd), %s since %s\n", (intmax_t)state->pid, text_printable(arena, doing),
                  time_or(arena, status, "since", "an unknown time"));
    const char *reason = json_text(status, "reason", "");
    if (*reason) (void)fprintf(to, "%s\n", text_printable(arena, reason));
}

static void print_last_sweep(struct arena *arena, const json_t *status, FILE *to) {
    const json_t *last = json_object_get(status, "last_sweep");
    int64_t began_us, ended_us;
    if (!field_time(last, "began", &began_us)) {
        (void)fputs("last sweep: none yet\n", to);
        return;
    }
    (void)fprintf(to, "last sweep: %" PRId64 ", began %s", json_number(last, "sweep", 0), time_format_seconds(began_us).text);
    if (field_time(last, "ended", &ended_us)) {
        const char *result = json_text(last, "result", "");
        (void)fprintf(to, ", %s after %s", text_equal(result, "ended-early") ? "ended early" : text_equal(result, "failed") ? "failed" : "done", time_format_span(ended_us - began_us).text);
    }
    (void)fputc('\n', to);
    (void)arena;
}

static void number_cell(struct table *table, const json_t *object, const char *name, enum style unless_zero) {
    int64_t number = json_number(object, name, 0);
    if (number < 0)
        table_cell(table, STYLE_WARNING, "unknown");
    else
        table_cell(table, number ? unless_zero : STYLE_PLAIN, text_number(number).text);
}

static void print_rules(struct arena *arena, const json_t *rules, FILE *to, bool colour) {
    static const struct table_column columns[] = {
        {"RULE", ALIGN_LEFT, 0}, {"PURGED", ALIGN_RIGHT, 0},      {"ANONYMIZED", ALIGN_RIGHT, 0},
        {"BLOCKED", ALIGN_RIGHT, 0}, {"UNDECIDABLE", ALIGN_RIGHT, 0}, {"LEFT", ALIGN_RIGHT, 0},
        {"LAG", ALIGN_RIGHT, 0}, {"OLDEST DUE", ALIGN_LEFT, 0}, {"LAST SUCCESS", ALIGN_LEFT, 0},
    };
    struct table *table = table_new(arena, columns, sizeof columns / sizeof *columns);
    size_t i;
    json_t *rule;
    if (!json_array_size(rules)) return;
    json_array_foreach(rules, i, rule) {
        int64_t lag_seconds = json_number(rule, "lag_seconds", 0);
        table_cell(table, STYLE_PLAIN, json_text(rule, "rule", ""));
        number_cell(table, rule, "purged", STYLE_PLAIN);
        number_cell(table, rule, "anonymized", STYLE_PLAIN);
        number_cell(table, rule, "blocked", STYLE_PLAIN);
        number_cell(table, rule, "undecidable", STYLE_WARNING);
        number_cell(table, rule, "left", STYLE_WARNING);
        table_cell(table, lag_seconds > 0 ? STYLE_WARNING : STYLE_PLAIN, span_text(arena, lag_seconds));
        table_cell(table, STYLE_PLAIN, arena_printf(arena, "%.10s", time_or(arena, rule, "oldest_due", "-")));
        table_cell(table, json_is_true(json_object_get(rule, "late")) ? STYLE_BAD : STYLE_PLAIN, time_or(arena, rule, "last_success", "never"));
    }
    (void)fputc('\n', to);
    table_print(table, to, colour);
}

static void print_waits(struct arena *arena, const json_t *rules, FILE *to, bool colour) {
    size_t i, j;
    json_t *rule, *wait;
    const char *before = "\n";
    json_array_foreach(rules, i, rule) {
        const char *name = text_printable(arena, json_text(rule, "rule", ""));
        if (json_is_true(json_object_get(rule, "late"))) {
            (void)fputs(before, to);
            style_print(to, colour, STYLE_BAD, "late");
            (void)fprintf(to, ": \"%s\" has not succeeded for longer than two sweeps\n", name);
            before = "";
        }
        json_array_foreach(json_object_get(rule, "waits"), j, wait) {
            int64_t records = json_number(wait, "records", -1);
            (void)fprintf(to, "%s\"%s\": %s due and still there: %s\n", before, name,
                          records < 0 ? "unknown how many are" : arena_printf(arena, "%s %s", text_number(records).text, records == 1 ? "is" : "are"),
                          text_printable(arena, json_text(wait, "why", "")));
            before = "";
        }
    }
}

static void print_approvals(struct arena *arena, const json_t *status, FILE *to, bool colour) {
    size_t i;
    json_t *item;
    const char *before = "\n";
    json_array_foreach(json_object_get(status, "waiting"), i, item) {
        (void)fputs(before, to);
        style_print(to, colour, STYLE_WARNING, "waits");
        (void)fprintf(to, ": %s\n", text_printable(arena, json_text(item, "text", "")));
        before = "";
    }
    json_array_foreach(json_object_get(status, "notes"), i, item) {
        const char *text = json_string_value(item);
        (void)fprintf(to, "%snote: %s\n", before, text_printable(arena, text ? text : ""));
        before = "";
    }
}

static void print_stores(struct arena *arena, const json_t *stores, FILE *to, bool colour) {
    size_t i;
    json_t *store;
    json_array_foreach(stores, i, store) {
        if (text_equal(json_text(store, "state", "up"), "up")) continue;
        style_print(to, colour, STYLE_BAD, "store ");
        (void)fprintf(to, "\"%s\" is down since %s: %s\n", text_printable(arena, json_text(store, "store", "")),
                      time_or(arena, store, "since", "an unknown time"), text_printable(arena, json_text(store, "error", "")));
    }
}

void status_print(struct arena *arena, const struct daemon_state *state, int64_t now_us, FILE *to, bool colour) {
    const json_t *status = state->status;
    print_state(arena, state, to, colour);
    if (!status) return;
    if (!daemon_state_is_current(state)) (void)fputs("what it left behind when it ran last:\n", to);
    print_last_sweep(arena, status, to);
    if (daemon_state_is_current(state)) {
        (void)fprintf(to, "next sweep: %s%s\n", time_or(arena, status, "next_sweep", "not known"),
                      is_late(status, now_us) ? ", which is past" : "");
        print_stores(arena, json_object_get(status, "stores"), to, colour);
    }
    print_rules(arena, json_object_get(status, "rules"), to, colour);
    print_waits(arena, json_object_get(status, "rules"), to, colour);
    print_approvals(arena, status, to, colour);
    int64_t n_holds = json_number(status, "holds", 0);
    if (n_holds) (void)fprintf(to, "\n%s hold%s: lapsectl hold list\n", text_number(n_holds).text, n_holds == 1 ? "" : "s");
    size_t n_findings = json_array_size(state->findings);
    if (n_findings) (void)fprintf(to, "\n%zu finding%s: lapsectl findings\n", n_findings, n_findings == 1 ? "" : "s");
}

void status_print_json(const struct daemon_state *state, int64_t now_us, FILE *to) {
    static const char *const words[] = {[STATUS_WELL] = "well", [STATUS_ATTENTION] = "attention", [STATUS_STOPPED] = "stopped"};
    json_t *object = json_pack("{s:i, s:s, s:b, s:o, s:b, s:I, s:O?}", "v", 1, "verdict", words[status_verdict(state, now_us)], "running",
                               state->running, "pid", state->running ? json_integer(state->pid) : json_null(), "current",
                               daemon_state_is_current(state), "findings", (json_int_t)json_array_size(state->findings), "status", state->status);
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}

/* ---- findings ---- */

enum findings_verdict findings_verdict(const json_t *findings) {
    if (!findings) return FINDINGS_UNKNOWN;
    return json_array_size(findings) ? FINDINGS_SOME : FINDINGS_NONE;
}

/* "store main, page_views.viewed_at, tenant 1042": what of it the finding has. */
static const char *where_text(struct arena *arena, const json_t *finding) {
    static const struct { const char *name, *word; } parts[] = {{"store", "store "}, {"place", ""}, {"tenant", "tenant "}};
    const char *where = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *text = json_text(finding, parts[i].name, NULL);
        if (text) where = arena_printf(arena, "%s%s%s%s", where, *where ? ", " : "", parts[i].word, text);
    }
    return where;
}

void findings_print(struct arena *arena, const json_t *findings, FILE *to, bool colour) {
    if (!findings) {
        (void)fputs("not known: no sweep has ended yet\n", to);
        return;
    }
    if (!json_array_size(findings)) (void)fputs("no findings\n", to);
    size_t i;
    json_t *finding;
    json_array_foreach(findings, i, finding) {
        const char *rule = json_text(finding, "rule", NULL), *where = where_text(arena, finding);
        int64_t count = json_number(finding, "count", 0);
        style_print(to, colour, STYLE_WARNING, text_printable(arena, json_text(finding, "code", "finding")));
        if (*where) (void)fprintf(to, "  %s", text_printable(arena, where));
        if (rule) (void)fprintf(to, "  under \"%s\"", text_printable(arena, rule));
        if (count > 1) (void)fprintf(to, "  %s times", text_number(count).text);
        int64_t seen_us;
        if (field_time(finding, "first_seen", &seen_us)) (void)fprintf(to, "  since %s", time_format_seconds(seen_us).text);
        (void)fprintf(to, "\n    %s\n", text_printable(arena, json_text(finding, "text", "")));
    }
}
