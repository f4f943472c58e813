#include "base/text.h"
#include "base/time.h"
#include "schedule/lexer.h"
#include "schedule/load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A count and its unit, such as "100 ms" and "64 MiB". */
struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", 1000}, {"millisecond", 1000}, {"second", TIME_SECOND_US}, {"s", TIME_SECOND_US}, {"minute", 60 * TIME_SECOND_US},
    {"hour", 3600 * TIME_SECOND_US}, {"day", TIME_DAY_US}, {"week", 7 * TIME_DAY_US}, {NULL, 0}};
static const struct unit size_units[] = {{"B", 1}, {"byte", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

static bool has_plural(const char *unit) { return strlen(unit) > 2 && !strchr(unit, 'B'); }

static bool same_unit(const char *text, size_t length, const char *unit) {
    size_t n = strlen(unit);
    if (has_plural(unit) && length == n + 1 && text[n] == 's') length--;
    return length == n && !strncmp(text, unit, n);
}

/* A number of at most nine digits, and one of the units. */
static bool read_amount(const char *text, const struct unit *units, int64_t *ret_amount) {
    int64_t count = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 9) return false;
    for (size_t i = 0; i < digits; i++) count = count * 10 + (text[i] - '0');
    text += digits;
    text += strspn(text, " ");
    for (; units->name; units++) {
        if (!same_unit(text, strlen(text), units->name)) continue;
        *ret_amount = count * units->factor;
        return true;
    }
    return false;
}

struct amount {
    const char *group; /* NULL: at the top */
    const char *name, *standard;
    int64_t least, most;
    size_t offset; /* in struct settings */
    bool size;     /* bytes, else microseconds */
};

#define DURATION(group, name, standard, least, most, field) {group, name, standard, least, most, offsetof(struct settings, field), false}
#define SIZE(group, name, standard, least, most, field) {group, name, standard, least, most, offsetof(struct settings, field), true}
static const struct amount amounts[] = {
    DURATION(NULL, "notice", "30 days", 0, 3660 * TIME_DAY_US, notice_us),
    DURATION("sweep", "every", "1 day", TIME_SECOND_US, 31 * TIME_DAY_US, sweep_every_us),
    DURATION("batch", "time", "100 ms", 1000, 60 * TIME_SECOND_US, batch_time_us),
    SIZE("journal", "segment", "64 MiB", 4 << 10, INT64_C(16) << 30, journal_segment_bytes),
    DURATION("journal", "segment_age", "31 days", TIME_SECOND_US, 3660 * TIME_DAY_US, journal_segment_age_us),
    SIZE("journal", "reserve", "16 MiB", 16 << 10, INT64_C(1) << 40, journal_reserve_bytes),
    DURATION("clock", "tolerance", "60 s", 1000, 3600 * TIME_SECOND_US, clock_tolerance_us),
    DURATION("timeout", "statement", "30 s", 100000, 3600 * TIME_SECOND_US, statement_timeout_us),
    DURATION("timeout", "lock", "2 s", 1000, 3600 * TIME_SECOND_US, lock_timeout_us),
    DURATION("throttle", "every", "5 s", 100000, 600 * TIME_SECOND_US, throttle.every_us),
    DURATION("throttle", "replica_lag", "10 s", 0, 3660 * TIME_DAY_US, throttle.replica_lag_us),
    DURATION("throttle", "snapshot_age", "1 hour", 0, 3660 * TIME_DAY_US, throttle.snapshot_age_us),
    DURATION("survey", "every", "1 day", TIME_SECOND_US, 366 * TIME_DAY_US, survey_every_us),
    DURATION("survey", "budget", "5 minutes", TIME_SECOND_US, TIME_DAY_US, survey_budget_us),
    DURATION("survey", "alarm_after", "7 days", 0, 3660 * TIME_DAY_US, survey_alarm_after_us),
    DURATION("holds", "cooling_off", "1 day", 0, 3660 * TIME_DAY_US, cooling_off_us),
};

static const char *amount_text(const struct loader *loader, const struct amount *amount, int64_t value) {
    const struct unit *units = amount->size ? size_units : duration_units, *best = units;
    for (; units->name; units++)
        if (value % units->factor == 0 && units->factor > best->factor) best = units;
    return arena_printf(loader->arena, "%lld %s%s", (long long)(value / best->factor), best->name,
                        has_plural(best->name) && value != best->factor ? "s" : "");
}

static void load_amount(struct loader *loader, const config_setting_t *root, const struct amount *amount) {
    int64_t *to = (int64_t *)(void *)((char *)&loader->schedule->settings + amount->offset), value;
    (void)read_amount(amount->standard, amount->size ? size_units : duration_units, to);
    const config_setting_t *group = amount->group ? config_setting_get_member(root, amount->group) : root;
    if (!group || !config_setting_is_group(group)) return;
    const char *text = load_string(loader, group, amount->name);
    if (!text) return;
    const config_setting_t *setting = config_setting_get_member(group, amount->name);
    if (!read_amount(text, amount->size ? size_units : duration_units, &value))
        load_fault(loader, setting, "%s = \"%s\" is not a %s; write a number and %s, such as \"%s\"", amount->name, text,
                   amount->size ? "size" : "duration",
                   amount->size ? "B, KiB, MiB or GiB" : "ms, seconds, minutes, hours, days or weeks", amount->standard);
    else if (value < amount->least || value > amount->most)
        load_fault(loader, setting, "%s = \"%s\" is out of range; write one from %s to %s", amount->name, text,
                   amount_text(loader, amount, amount->least), amount_text(loader, amount, amount->most));
    else
        *to = value;
}

static bool read_minute(const char *text, int *ret_minute) {
    for (int i = 0; i < 5; i++)
        if (i == 2 ? text[i] != ':' : !isdigit((unsigned char)text[i])) return false;
    int hour = (text[0] - '0') * 10 + text[1] - '0', minute = (text[3] - '0') * 10 + text[4] - '0';
    if (minute > 59 || hour > 24 || (hour == 24 && minute)) return false;
    *ret_minute = hour % 24 * 60 + minute;
    return true;
}

static void load_sweep(struct loader *loader, const config_setting_t *root) {
    struct settings *settings = &loader->schedule->settings;
    const config_setting_t *group = load_group(loader, root, "sweep");
    if (!group) return;
    load_known(loader, group, (const char *const[]){"every", "window", "load", NULL});
    const char *window = load_string(loader, group, "window");
    int from, to;
    if (window && (strlen(window) != 11 || window[5] != '-' || !read_minute(window, &from) || !read_minute(window + 6, &to)))
        load_fault(loader, config_setting_get_member(group, "window"), "window = \"%s\" is not a time of day; write two UTC times, such as \"01:00-05:00\"", window);
    else if (window && from == to && from)
        load_fault(loader, config_setting_get_member(group, "window"), "window = \"%s\" has no length; leave it out to sweep at any time", window);
    else if (window)
        settings->window_from_minute = from, settings->window_to_minute = to;
    const char *load = load_string(loader, group, "load");
    static const char *const loads[] = {[LOAD_GENTLE] = "gentle", [LOAD_NORMAL] = "normal", [LOAD_FULL] = "full"};
    if (!load) return;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(load, loads[i]) != 0) continue;
        settings->load = (enum load)i;
        return;
    }
    load_fault(loader, config_setting_get_member(group, "load"), "load = \"%s\" is unknown; write \"gentle\", \"normal\" or \"full\"", load);
}

/* A number without quotes, or the default. */
static int load_number(const struct loader *loader, const config_setting_t *group, const char *name, int standard, int least, int most) {
    const config_setting_t *setting = group ? config_setting_get_member(group, name) : NULL;
    if (!setting) return standard;
    int number = config_setting_type(setting) == CONFIG_TYPE_INT ? config_setting_get_int(setting) : -1;
    if (number >= least && number <= most) return number;
    load_fault(loader, setting, "%s is not a number from %d to %d; write one without quotes, such as %s = %d", name, least, most, name, standard);
    return standard;
}

static void load_privileges(struct loader *loader, const config_setting_t *root) {
    static const char *const words[] = {[PRIVILEGES_WARN] = "warn", [PRIVILEGES_REFUSE] = "refuse", [PRIVILEGES_IGNORE] = "ignore"};
    const char *text = load_string(loader, root, "privileges");
    if (!text) return;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        loader->schedule->settings.privileges = (enum privileges)i;
        return;
    }
    load_fault(loader, config_setting_get_member(root, "privileges"), "privileges = \"%s\" is unknown; write %s", text,
               load_choices(loader, words, sizeof words / sizeof *words));
}

static void load_batch(struct loader *loader, const config_setting_t *root) {
    struct settings *settings = &loader->schedule->settings;
    const config_setting_t *group = load_group(loader, root, "batch");
    if (group) load_known(loader, group, (const char *const[]){"time", "rows", "workers", NULL});
    settings->batch_rows = (size_t)load_number(loader, group, "rows", 20000, 1, 1000000);
    settings->batch_workers = (size_t)load_number(loader, group, "workers", 2, 1, 16);
}

static void load_throttle(struct loader *loader, const config_setting_t *root) {
    struct throttle_limits *limits = &loader->schedule->settings.throttle;
    const config_setting_t *group = load_group(loader, root, "throttle");
    struct err err;
    limits->configured = group != NULL;
    if (group) load_known(loader, group, (const char *const[]){"every", "replica_lag", "snapshot_age", "lock_waits", "query", NULL});
    limits->lock_waits = load_number(loader, group, "lock_waits", 20, 0, INT32_MAX);
    limits->query = group ? load_string(loader, group, "query") : NULL;
    if (limits->query && lexer_check_query(limits->query, &err)) load_fault(loader, config_setting_get_member(group, "query"), "the query %s", err.text);
}

static void load_brakes(struct loader *loader, const config_setting_t *root) {
    struct brake_limits *brakes = &loader->schedule->settings.brakes;
    const config_setting_t *group = load_group(loader, root, "brakes");
    if (group) load_known(loader, group, (const char *const[]){"first_run", "records", "tenants", "share", "growth", "shrink", NULL});
    const config_setting_t *first_run = group ? config_setting_get_member(group, "first_run") : NULL;
    brakes->first_run = true;
    if (first_run && config_setting_type(first_run) != CONFIG_TYPE_BOOL)
        load_fault(loader, first_run, "first_run is neither true nor false; write first_run = true");
    else if (first_run)
        brakes->first_run = config_setting_get_bool(first_run) != 0;
    brakes->records = load_number(loader, group, "records", 1000, 0, 999999999);
    brakes->tenants = load_number(loader, group, "tenants", 10, 0, 999999999);
    brakes->share = load_number(loader, group, "share", 50, 0, 100);
    brakes->growth = load_number(loader, group, "growth", 3, 0, 1000000);
    brakes->shrink = load_number(loader, group, "shrink", 20, 0, 100);
}

const char *load_path(const struct loader *loader, const char *path) {
    const char *base = loader->schedule->path, *slash = strrchr(base, '/');
    if (*path == '/' || !slash) return path;
    return arena_printf(loader->arena, "%.*s/%s", (int)(slash - base), base, path);
}

static const char *load_folder(struct loader *loader, const config_setting_t *group, const char *name, const char *standard) {
    const char *path = group ? load_string(loader, group, name) : NULL;
    return path ? load_path(loader, path) : standard;
}

static void load_period(struct loader *loader, const config_setting_t *group, const char *name, const char *standard, struct period *to) {
    struct err err;
    if (period_parse(standard, to, &err)) abort();
    const char *text = group ? load_string(loader, group, name) : NULL;
    if (text && period_parse(text, to, &err)) load_fault(loader, config_setting_get_member(group, name), "%s: %s", name, err.text);
}

static void load_journal(struct loader *loader, const config_setting_t *root) {
    struct settings *settings = &loader->schedule->settings;
    const config_setting_t *group = config_setting_get_member(root, "journal");
    if (group && !config_setting_is_group(group)) group = NULL; /* a fault already */
    struct period *keep = &settings->journal_keep, *evidence = &settings->journal_keep_evidence;
    load_period(loader, group, "keep", "7 years", keep);
    load_period(loader, group, "keep_evidence", "13 months", evidence);
    const config_setting_t *named = group ? config_setting_get_member(group, "keep_evidence") : NULL;
    if (!named && load_is_longer(*evidence, *keep)) *evidence = *keep;
    if (load_is_longer(*evidence, *keep))
        load_fault(loader, named, "keep_evidence = \"%s\" is longer than keep = \"%s\", so evidence would outlast the entries that it belongs to; write keep_evidence = \"%s\" or shorter",
                   period_format(*evidence).text, period_format(*keep).text, period_format(*keep).text);
    settings->journal_folder = load_folder(loader, group, "folder", "/var/lib/lapsed/journal");
}

void load_settings(struct loader *loader, const config_setting_t *root) {
    struct settings *settings = &loader->schedule->settings;
    static const struct {
        const char *name, *known[7]; /* ends with NULL */
    } groups[] = {{"journal", {"folder", "segment", "segment_age", "reserve", "keep", "keep_evidence"}}, {"clock", {"tolerance"}}, {"timeout", {"statement", "lock"}}, {"survey", {"every", "budget", "alarm_after"}}, {"holds", {"cooling_off"}}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const config_setting_t *group = load_group(loader, root, groups[i].name);
        if (group) load_known(loader, group, groups[i].known);
    }
    load_sweep(loader, root);
    load_batch(loader, root);
    load_privileges(loader, root);
    load_brakes(loader, root);
    load_throttle(loader, root);
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) load_amount(loader, root, &amounts[i]);
    load_journal(loader, root);
    settings->state_folder = load_folder(loader, root, "state", "/var/lib/lapsed");
    settings->run_folder = load_folder(loader, root, "run", "/run/lapsed");
}
