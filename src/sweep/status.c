#include "sweep/status.h"

#include "base/log.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void free_rules(struct status *status) {
    for (size_t i = 0; i < status->n_rules; i++) free(status->rules[i].waits);
    free(status->rules);
}

void status_free(struct status *status) {
    free_rules(status);
    free(status->stores);
    free(status->findings);
    free(status->waiting);
    free(status->notes);
    seen_free(status->seen);
    *status = (struct status){0};
}

void status_reset(struct status *status, const struct schedule *schedule, int64_t now_us) {
    free_rules(status);
    free(status->stores);
    if (!status->seen) status->seen = seen_load(schedule->settings.state_folder);
    status->schedule_sha256 = schedule->sha256;
    status->n_rules = schedule->n_rules;
    status->rules = xcalloc(schedule->n_rules, sizeof *status->rules);
    for (size_t i = 0; i < schedule->n_rules; i++)
        status->rules[i] = (struct status_rule){.data = schedule->rules[i].data,
                                                .last_success_us = seen_rule(status->seen, schedule->rules[i].data, now_us)->success_us};
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

/* ---- findings ---- */

/* From when on it is an alarm; TIME_FOREVER: never. */
static int64_t alarms_us(const struct finding *finding, const struct settings *settings, int64_t first_seen_us) {
    if (finding->grade == FINDING_NOTE) return TIME_FOREVER;
    return finding->grade == FINDING_PATIENT ? first_seen_us + settings->survey_alarm_after_us : first_seen_us;
}

/* No tenant in the log: its id may be personal. */
static void say_alarm(const struct finding *finding, int64_t first_seen_us) {
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    if (finding->store) buf_printf(&text, "store \"%s\": ", finding->store);
    if (finding->place) buf_printf(&text, "%s: ", finding->place);
    if (finding->rule) buf_printf(&text, "\"%s\": ", finding->rule);
    log_error("%sfinding %s since %s: %s; lapsectl findings", buf_text(&text), finding->code, time_format_seconds(first_seen_us).text, finding->text);
}

static void add_finding(struct buf *to, const struct finding *finding, int64_t first_seen_us, int64_t alarm_us) {
    buf_add(to, "{\"code\":");
    buf_add_json(to, finding->code);
    buf_add(to, ",\"rule\":");
    add_text_or_null(to, finding->rule);
    buf_add(to, ",\"store\":");
    add_text_or_null(to, finding->store);
    buf_add(to, ",\"place\":");
    add_text_or_null(to, finding->place);
    buf_add(to, ",\"tenant\":");
    add_text_or_null(to, finding->tenant);
    buf_printf(to, ",\"count\":%" PRId64 ",\"first_seen\":\"%s\",\"alarms\":", finding->count, time_format(first_seen_us).text);
    add_time_or_null(to, alarm_us == TIME_FOREVER ? 0 : alarm_us);
    buf_add(to, ",\"text\":");
    add_text_or_null(to, finding->text);
    buf_add_char(to, '}');
}

static void note_findings(struct status *status, const struct settings *settings, const struct sweep_report *report, int64_t previous_us) {
    struct buf to = {0};
    int64_t now_us = report->ended_us;
    status->n_alarms = 0;
    buf_add_char(&to, '[');
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct finding *finding = &report->findings[i];
        int64_t seen_us = seen_finding(status->seen, finding), first_us = seen_us < now_us ? seen_us : now_us;
        int64_t alarm_us = alarms_us(finding, settings, first_us);
        bool is_new = seen_us == TIME_FOREVER;
        status->n_alarms += alarm_us <= now_us;
        if (alarm_us <= now_us && (is_new || alarm_us > previous_us)) say_alarm(finding, first_us);
        buf_add(&to, i ? ",\n" : "\n");
        add_finding(&to, finding, first_us, alarm_us);
    }
    buf_add_char(&to, ']');
    free(status->findings);
    status->findings = to.text;
    status->n_findings = (int64_t)report->n_findings;
    seen_findings(status->seen, to.text);
}

/* ---- rules ---- */

static char *waits_json(const struct rule_report *rule) {
    struct buf to = {0};
    buf_add_char(&to, '[');
    for (size_t i = 0; i < rule->n_waits; i++) {
        buf_add(&to, i ? ",{\"why\":" : "{\"why\":");
        buf_add_json(&to, rule->waits[i].why);
        buf_printf(&to, ",\"records\":%" PRId64 "}", rule->waits[i].records);
    }
    buf_add_char(&to, ']');
    return to.text;
}

static void note_waiting(struct status *status, const struct sweep_report *report) {
    struct buf waiting = {0}, notes = {0};
    buf_add_char(&waiting, '[');
    for (size_t i = 0; i < report->n_waiting; i++) {
        const struct waiting *item = &report->waiting[i];
        buf_add(&waiting, i ? ",\n{\"rule\":" : "\n{\"rule\":");
        add_text_or_null(&waiting, item->rule);
        buf_printf(&waiting, ",\"digest\":\"%s\",\"records\":%" PRId64 ",\"tenants\":%" PRId64 ",\"since\":\"%s\",\"text\":", item->digest, item->records,
                   item->tenants, time_format(item->since_us).text);
        buf_add_json(&waiting, item->text);
        buf_add_char(&waiting, '}');
    }
    buf_add_char(&waiting, ']');
    buf_add_char(&notes, '[');
    for (size_t i = 0; i < report->n_notes; i++) {
        if (i) buf_add_char(&notes, ',');
        buf_add_json(&notes, report->notes[i]);
    }
    buf_add_char(&notes, ']');
    free(status->waiting);
    free(status->notes);
    status->waiting = waiting.text;
    status->notes = notes.text;
    status->n_waiting = (int64_t)report->n_waiting;
}

/* Retries follow each other fast: it is late by the clock, and by two sweeps in which it failed. */
static void judge(struct status_rule *rule, struct seen_rule *seen, const struct settings *settings, const struct sweep_report *report) {
    int64_t now_us = report->ended_us, from_us = seen->success_us ? seen->success_us : seen->since_us;
    if (!report->ended_early && !rule->left) {
        seen->success_us = rule->last_success_us = now_us;
        seen->failures = 0;
    } else if (!report->ended_early) {
        seen->failures++;
    }
    rule->late = seen->failures >= 2 && now_us - from_us > 2 * settings->sweep_every_us;
    if (rule->late)
        log_error("rule \"%s\" has not succeeded since %s, for longer than two sweeps; lapsectl status says what waits", rule->data,
                  time_format_seconds(from_us).text);
}

void status_note(struct status *status, const struct settings *settings, const struct sweep_report *report) {
    int64_t previous_us = status->last_ended_us;
    status->last_sweep = report->number;
    status->last_began_us = report->began_us;
    status->last_ended_us = report->ended_us;
    status->last_outcome = report->outcome;
    for (size_t i = 0; i < report->n_rules; i++) {
        const struct rule_report *from = &report->rules[i];
        struct status_rule *to = &status->rules[i];
        free(to->waits);
        *to = (struct status_rule){.data = to->data, .purged = from->purged, .anonymized = from->anonymized,
                                   .dependents = from->dependents, .blocked = from->blocked, .undecidable = from->undecidable,
                                   .left = from->left, .lag_us = from->lag_us, .oldest_due_us = from->oldest_us,
                                   .last_success_us = to->last_success_us, .waits = waits_json(from)};
        judge(to, seen_rule(status->seen, to->data, report->began_us), settings, report);
    }
    for (size_t i = 0; i < report->n_stores; i++) {
        struct status_store *store = &status->stores[i];
        if (store->down != report->stores[i].down) store->since_us = report->ended_us;
        store->down = report->stores[i].down;
        (void)text_copy(store->error, sizeof store->error, report->stores[i].err.text);
    }
    note_waiting(status, report);
    /* A sweep that was cut short has not seen everything: what the last whole one found still stands. */
    if (!report->ended_early) note_findings(status, settings, report, previous_us);
}

static void add_rules(struct buf *to, const struct status *status) {
    for (size_t i = 0; i < status->n_rules; i++) {
        const struct status_rule *rule = &status->rules[i];
        buf_add(to, i ? ",\n{\"rule\":" : "\n{\"rule\":");
        buf_add_json(to, rule->data);
        buf_printf(to,
                   ",\"purged\":%" PRId64 ",\"anonymized\":%" PRId64 ",\"dependents\":%" PRId64 ",\"blocked\":%" PRId64
                   ",\"undecidable\":%" PRId64 ",\"left\":%" PRId64 ",\"lag_seconds\":%" PRId64 ",\"oldest_due\":",
                   rule->purged, rule->anonymized, rule->dependents, rule->blocked, rule->undecidable, rule->left,
                   rule->lag_us / TIME_SECOND_US);
        add_time_or_null(to, rule->oldest_due_us);
        buf_add(to, ",\"last_success\":");
        add_time_or_null(to, rule->last_success_us);
        buf_printf(to, ",\"late\":%s,\"waits\":%s}", rule->late ? "true" : "false", rule->waits ? rule->waits : "[]");
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
                   time_format(status->last_began_us).text, time_format(status->last_ended_us).text, status->last_outcome);
    else buf_add(to, "null");
    buf_add(to, ",\n\"rules\":[");
    add_rules(to, status);
    buf_add(to, "],\n\"stores\":[");
    add_stores(to, status);
    buf_printf(to, "],\n\"holds\":%" PRId64 ",\n\"waiting\":%s,\n\"notes\":%s,\n\"findings\":%s}\n", status->n_holds, status->waiting ? status->waiting : "[]",
               status->notes ? status->notes : "[]", status->findings ? status->findings : "null");
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

static void add_single(struct buf *to, const char *name, const char *help, int64_t value) {
    buf_printf(to, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRId64 "\n", name, help, name, name, value);
}

static int64_t value_left(const struct status_rule *rule) { return rule->left; }
static int64_t value_lag(const struct status_rule *rule) { return rule->lag_us / TIME_SECOND_US; }
static int64_t value_blocked(const struct status_rule *rule) { return rule->blocked; }
static int64_t value_undecidable(const struct status_rule *rule) { return rule->undecidable; }
static int64_t value_oldest(const struct status_rule *rule) { return rule->oldest_due_us / TIME_SECOND_US; }
static int64_t value_late(const struct status_rule *rule) { return rule->late; }
static int64_t value_success(const struct status_rule *rule) { return rule->last_success_us / TIME_SECOND_US; }

static void add_prometheus(struct buf *to, const struct status *status) {
    add_metric(to, status, "lapsed_rule_left_records", "gauge", "Records that are due and still there; -1 if a store could not be asked.", value_left);
    add_metric(to, status, "lapsed_rule_lag_seconds", "gauge", "How long the oldest of them has been due.", value_lag);
    add_metric(to, status, "lapsed_rule_blocked_records", "gauge", "Due records that others still refer to.", value_blocked);
    add_metric(to, status, "lapsed_rule_undecidable_records", "gauge", "Records that no rule can decide.", value_undecidable);
    add_metric(to, status, "lapsed_rule_last_success_timestamp_seconds", "gauge", "When a sweep last left nothing due; 0 = never.", value_success);
    add_metric(to, status, "lapsed_rule_oldest_due_timestamp_seconds", "gauge", "Since when the oldest record has been due that is still there, blocked or held; 0 = none is known.", value_oldest);
    add_metric(to, status, "lapsed_rule_late", "gauge", "Whether the rule has not succeeded for longer than two sweeps.", value_late);
    add_single(to, "lapsed_findings", "What a person should look at.", status->n_findings);
    add_single(to, "lapsed_alarms", "Findings that are alarms: at once, or after survey.alarm_after.", status->n_alarms);
    add_single(to, "lapsed_last_sweep_end_timestamp_seconds", "When the last sweep ended; 0 = none since the start.", status->last_ended_us / TIME_SECOND_US);
    add_single(to, "lapsed_holds", "Holds in force.", status->n_holds);
    add_single(to, "lapsed_approvals_waiting", "What waits for lapsectl approve.", status->n_waiting);
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

int status_keep(const struct status *status, const struct schedule *schedule, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf json = {0};
    const char *folder = schedule->settings.state_folder;
    if (seen_save(status->seen, schedule, folder, err)) return -1;
    if (!status->findings) return 0;
    buf_add(&json, status->findings);
    buf_add_char(&json, '\n');
    return write_file(folder, "findings.json", &json, err);
}
