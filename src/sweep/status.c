#include "sweep/status.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void status_free(struct status *status) {
    free(status->rules);
    free(status->stores);
    free(status->findings);
    *status = (struct status){0};
}

void status_reset(struct status *status, const struct schedule *schedule, int64_t now_us) {
    free(status->rules);
    free(status->stores);
    status->schedule_sha256 = schedule->sha256;
    status->n_rules = schedule->n_rules;
    status->rules = xcalloc(schedule->n_rules, sizeof *status->rules);
    for (size_t i = 0; i < schedule->n_rules; i++) status->rules[i].data = schedule->rules[i].data;
    status->n_stores = schedule->n_stores;
    status->stores = xcalloc(schedule->n_stores, sizeof *status->stores);
    for (size_t i = 0; i < schedule->n_stores; i++)
        status->stores[i] = (struct status_store){.name = schedule->stores[i].name, .since_us = now_us};
}

static void add_text_or_null(struct buf *to, const char *text) {
    if (text) buf_add_json(to, text);
    else buf_add(to, "null");
}

static void add_time_or_null(struct buf *to, int64_t us) {
    if (us) buf_printf(to, "\"%s\"", time_format(us).text);
    else buf_add(to, "null");
}

static char *findings_json(const struct sweep_report *report) {
    struct buf to = {0};
    buf_add_char(&to, '[');
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct finding *finding = &report->findings[i];
        buf_add(&to, i ? ",\n{\"code\":" : "\n{\"code\":");
        buf_add_json(&to, finding->code);
        buf_add(&to, ",\"rule\":");
        add_text_or_null(&to, finding->rule);
        buf_add(&to, ",\"store\":");
        add_text_or_null(&to, finding->store);
        buf_add(&to, ",\"place\":");
        add_text_or_null(&to, finding->place);
        buf_add(&to, ",\"tenant\":");
        add_text_or_null(&to, finding->tenant);
        buf_printf(&to, ",\"count\":%" PRId64 ",\"text\":", finding->count);
        add_text_or_null(&to, finding->text);
        buf_add_char(&to, '}');
    }
    buf_add_char(&to, ']');
    return to.text;
}

void status_note(struct status *status, const struct sweep_report *report) {
    status->last_sweep = report->number;
    status->last_began_us = report->began_us;
    status->last_ended_us = report->ended_us;
    status->last_ended_early = report->ended_early;
    for (size_t i = 0; i < report->n_rules; i++) {
        const struct rule_report *from = &report->rules[i];
        struct status_rule *to = &status->rules[i];
        *to = (struct status_rule){.data = to->data, .purged = from->purged, .anonymized = from->anonymized,
                                   .dependents = from->dependents, .blocked = from->blocked, .undecidable = from->undecidable,
                                   .left = from->left, .lag_us = from->lag_us, .last_success_us = to->last_success_us};
        if (!report->ended_early && !from->left) to->last_success_us = report->ended_us;
    }
    for (size_t i = 0; i < report->n_stores; i++) {
        struct status_store *store = &status->stores[i];
        if (store->down != report->stores[i].down) store->since_us = report->ended_us;
        store->down = report->stores[i].down;
        (void)text_copy(store->error, sizeof store->error, report->stores[i].err.text);
    }
    /* A sweep that was cut short has not seen everything: what the last whole one found still stands. */
    if (report->ended_early && status->findings) return;
    free(status->findings);
    status->findings = findings_json(report);
    status->n_findings = (int64_t)report->n_findings;
}

static void add_rules(struct buf *to, const struct status *status) {
    for (size_t i = 0; i < status->n_rules; i++) {
        const struct status_rule *rule = &status->rules[i];
        buf_add(to, i ? ",\n{\"rule\":" : "\n{\"rule\":");
        buf_add_json(to, rule->data);
        buf_printf(to,
                   ",\"purged\":%" PRId64 ",\"anonymized\":%" PRId64 ",\"dependents\":%" PRId64 ",\"blocked\":%" PRId64
                   ",\"undecidable\":%" PRId64 ",\"left\":%" PRId64 ",\"lag_seconds\":%" PRId64 ",\"last_success\":",
                   rule->purged, rule->anonymized, rule->dependents, rule->blocked, rule->undecidable, rule->left,
                   rule->lag_us / TIME_SECOND_US);
        add_time_or_null(to, rule->last_success_us);
        buf_add_char(to, '}');
    }
}

static void add_stores(struct buf *to, const struct status *status) {
    for (size_t i = 0; i < status->n_stores; i++) {
        const struct status_store *store = &status->stores[i];
        buf_add(to, i ? ",\n{\"store\":" : "\n{\"store\":");
        buf_add_json(to, store->name);
        buf_printf(to, ",\"state\":\"%s\",\"error\":", store->down ? "down" : "up");
        add_text_or_null(to, store->down ? store->error : NULL);
        buf_printf(to, ",\"since\":\"%s\"}", time_format(store->since_us).text);
    }
}

static void add_json(struct buf *to, const struct status *status) {
    buf_printf(to, "{\"v\":1,\"pid\":%d,\"state\":\"%s\",\"reason\":", (int)getpid(), status->state);
    buf_add_json(to, status->reason);
    buf_printf(to, ",\"since\":\"%s\",\"schedule\":\"%s\",\"next_sweep\":", time_format(status->since_us).text, status->schedule_sha256);
    add_time_or_null(to, status->next_sweep_us);
    buf_add(to, ",\n\"last_sweep\":");
    if (status->last_sweep)
        buf_printf(to, "{\"sweep\":%" PRId64 ",\"began\":\"%s\",\"ended\":\"%s\",\"result\":\"%s\"}", status->last_sweep,
                   time_format(status->last_began_us).text, time_format(status->last_ended_us).text,
                   status->last_ended_early ? "ended-early" : "done");
    else buf_add(to, "null");
    buf_add(to, ",\n\"rules\":[");
    add_rules(to, status);
    buf_add(to, "],\n\"stores\":[");
    add_stores(to, status);
    buf_printf(to, "],\n\"holds\":%" PRId64 ",\n\"findings\":%s}\n", status->n_holds, status->findings ? status->findings : "null");
}

/* A label's value in the text format of Prometheus: backslash, quote and newline escaped. */
static void add_label(struct buf *to, const char *text) {
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_add_char(to, '\\');
        if (*text == '\n') buf_add(to, "\\n");
        else buf_add_char(to, *text);
    }
}

static void add_metric(struct buf *to, const struct status *status, const char *name, const char *type, const char *help,
                       int64_t (*value)(const struct status_rule *rule)) {
    buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    for (size_t i = 0; i < status->n_rules; i++) {
        buf_printf(to, "%s{rule=\"", name);
        add_label(to, status->rules[i].data);
        buf_printf(to, "\"} %" PRId64 "\n", value(&status->rules[i]));
    }
}

static int64_t value_left(const struct status_rule *rule) { return rule->left; }
static int64_t value_lag(const struct status_rule *rule) { return rule->lag_us / TIME_SECOND_US; }
static int64_t value_blocked(const struct status_rule *rule) { return rule->blocked; }
static int64_t value_undecidable(const struct status_rule *rule) { return rule->undecidable; }
static int64_t value_success(const struct status_rule *rule) { return rule->last_success_us / TIME_SECOND_US; }

static void add_prometheus(struct buf *to, const struct status *status) {
    add_metric(to, status, "lapsed_rule_left_records", "gauge", "Records that are due and still there; -1 if a store could not be asked.", value_left);
    add_metric(to, status, "lapsed_rule_lag_seconds", "gauge", "How long the oldest of them has been due.", value_lag);
    add_metric(to, status, "lapsed_rule_blocked_records", "gauge", "Due records that others still refer to.", value_blocked);
    add_metric(to, status, "lapsed_rule_undecidable_records", "gauge", "Records that no rule can decide.", value_undecidable);
    add_metric(to, status, "lapsed_rule_last_success_timestamp_seconds", "gauge", "When a sweep last left nothing due; 0 = not since the start.", value_success);
    buf_printf(to, "# HELP lapsed_findings What a person should look at.\n# TYPE lapsed_findings gauge\nlapsed_findings %" PRId64 "\n", status->n_findings);
    buf_printf(to, "# HELP lapsed_holds Holds in force.\n# TYPE lapsed_holds gauge\nlapsed_holds %" PRId64 "\n", status->n_holds);
    buf_add(to, "# HELP lapsed_store_up Whether the last sweep could ask the store.\n# TYPE lapsed_store_up gauge\n");
    for (size_t i = 0; i < status->n_stores; i++)
        buf_printf(to, "lapsed_store_up{store=\"%s\"} %d\n", status->stores[i].name, !status->stores[i].down);
}

static int write_file(const char *folder, const char *name, const struct buf *content, struct err *err) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return err_set(err, ERR_IO, "%s: the name is too long", folder);
    return text_replace_file(path, buf_text(content), content->length, 0644, err);
}

int status_write(const struct status *status, const char *run_folder, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf json = {0}, prometheus = {0};
    add_json(&json, status);
    add_prometheus(&prometheus, status);
    return write_file(run_folder, "status.json", &json, err) || write_file(run_folder, "lapsed.prom", &prometheus, err) ? -1 : 0;
}

int status_write_findings(const struct status *status, const char *state_folder, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf json = {0};
    buf_add(&json, status->findings ? status->findings : "[]");
    buf_add_char(&json, '\n');
    return write_file(state_folder, "findings.json", &json, err);
}
