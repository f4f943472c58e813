#include "base/text.h"
#include "command/table.h"
#include "command/verbs.h"
#include "sweep/inspect.h"
#include "sweep/throttle.h"

#include <jansson.h>

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void close_inspection(struct inspection **inspection) { inspection_close(*inspection); }

/* What a check finds. */
struct result {
    struct faults *faults;
    const struct finding *remarks;
    size_t n_remarks;
    const struct err *store_errors; /* by store index; NULL: not asked */
    const struct schedule *schedule; /* NULL: it could not be loaded */
};

/* ---- output ---- */

static const char *plural(size_t count) { return count == 1 ? "" : "s"; }

static size_t count_errors(const struct result *result) {
    size_t count = 0;
    for (size_t i = 0; result->store_errors && i < result->schedule->n_stores; i++)
        count += result->store_errors[i].code != ERR_NONE;
    return count;
}

static void print_summary(const struct result *result, FILE *to, bool colour) {
    const struct schedule *schedule = result->schedule;
    size_t n_faults = result->faults->count, n_errors = count_errors(result);
    char counts[256];
    if (schedule)
        (void)fprintf(to, "%zu rule%s, %zu target%s in %zu store%s: ", schedule->n_rules, plural(schedule->n_rules),
                      schedule->n_targets, plural(schedule->n_targets), schedule->n_stores, plural(schedule->n_stores));
    (void)snprintf(counts, sizeof counts, n_faults ? "%zu fault%s" : "no faults", n_faults, plural(n_faults));
    style_print(to, colour, n_faults ? STYLE_BAD : STYLE_GOOD, counts);
    if (schedule) (void)fprintf(to, ", %zu remark%s", result->n_remarks, plural(result->n_remarks));
    if (n_errors) (void)fprintf(to, ", %zu store%s could not be asked", n_errors, plural(n_errors));
    (void)fputc('\n', to);
}

static void print_remarks(struct arena *arena, const struct result *result, FILE *to, bool colour) {
    for (size_t i = 0; i < result->n_remarks; i++) {
        const struct finding *remark = &result->remarks[i];
        style_print(to, colour, STYLE_WARNING, "remark");
        if (remark->store) (void)fprintf(to, ": store \"%s\"", text_printable(arena, remark->store));
        if (remark->place) (void)fprintf(to, ": %s", text_printable(arena, remark->place));
        (void)fprintf(to, ": %s\n", text_printable(arena, remark->text));
    }
}

static void print_text(struct arena *arena, const struct result *result, FILE *to, bool colour) {
    faults_print(result->faults, to);
    for (size_t i = 0; result->store_errors && i < result->schedule->n_stores; i++) {
        if (result->store_errors[i].code == ERR_NONE) continue;
        style_print(to, colour, STYLE_BAD, "not asked");
        (void)fprintf(to, ": %s\n", text_printable(arena, result->store_errors[i].text));
    }
    print_remarks(arena, result, to, colour);
    print_summary(result, to, colour);
}

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static void print_json(const struct result *result, FILE *to) {
    json_t *faults = json_array(), *remarks = json_array(), *errors = json_array();
    for (size_t i = 0; i < result->faults->count; i++) {
        const struct fault *fault = &result->faults->items[i];
        (void)json_array_append_new(faults, json_pack("{s:o, s:i, s:s}", "file", text_or_null(*fault->place.file ? fault->place.file : NULL), "line",
                                                      (int)fault->place.line, "text", fault->text));
    }
    for (size_t i = 0; i < result->n_remarks; i++) {
        const struct finding *remark = &result->remarks[i];
        (void)json_array_append_new(remarks, json_pack("{s:s, s:o, s:o, s:o, s:s}", "code", remark->code, "store",
                                                       text_or_null(remark->store), "place", text_or_null(remark->place), "rule",
                                                       text_or_null(remark->rule), "text", remark->text));
    }
    for (size_t i = 0; result->store_errors && i < result->schedule->n_stores; i++)
        if (result->store_errors[i].code != ERR_NONE)
            (void)json_array_append_new(errors, json_pack("{s:s, s:s}", "store", result->schedule->stores[i].name, "error",
                                                          result->store_errors[i].text));
    json_t *object = json_pack("{s:i, s:b, s:o, s:o, s:o}", "v", 1, "well", !result->faults->count && !json_array_size(errors),
                               "faults", faults, "remarks", remarks, "stores_not_asked", errors);
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}

static void print_result(const struct invocation *invocation, struct arena *arena, const struct result *result) {
    terminal_progress(NULL);
    if (invocation->json)
        print_json(result, invocation->out);
    else
        print_text(arena, result, invocation->out, invocation->colour);
}

/* ---- a draft, where there are no rules yet ---- */

static int draft_store(const struct invocation *invocation, const struct schedule *schedule, const struct store_conf *conf,
                       struct buf *text) {
    struct store *store = NULL;
    struct err err;
    if (store_open(schedule, conf, true, NULL, &store, &err)) return command_fail_err(invocation, &err);
    const struct store_driver *driver = store_driver(store);
    if (driver->draft) buf_printf(text, "\n  # ---- store \"%s\" (%s) ----\n", conf->name, driver->name);
    int status = driver->draft && driver->draft(store, text, &err) ? command_fail_err(invocation, &err) : EXIT_WELL;
    if (status) buf_add(text, "  # (it could not be asked)\n");
    store_close(store);
    return status;
}

static int print_draft(const struct invocation *invocation, const struct schedule *schedule) {
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    int status = EXIT_WELL;
    for (size_t i = 0; i < schedule->n_stores; i++) {
        int of_store = draft_store(invocation, schedule, &schedule->stores[i], &text);
        if (of_store) status = of_store;
    }
    if (invocation->json) {
        json_t *object = json_pack("{s:i, s:s}", "v", 1, "draft", buf_text(&text));
        (void)json_dumpf(object, invocation->out, JSON_INDENT(2));
        (void)fputc('\n', invocation->out);
        json_decref(object);
    } else {
        (void)fprintf(invocation->out,
                      "# There are no rules yet. This is a draft from the catalogs. Say how long each is kept, and why; take away the\n"
                      "# # of what is true, and make it the file that lapsed.conf names as its schedule.\n"
                      "schedule = (\n%s);\n",
                      buf_text(&text));
    }
    return status;
}

/* ---- the check ---- */

static int advise(const struct invocation *invocation, struct inspection *inspection, struct arena *arena, struct result *result) {
    struct finding *remarks = NULL;
    int status = EXIT_WELL;
    for (size_t i = 0; i < inspection->schedule->n_stores; i++) {
        const struct finding *found;
        size_t n_found;
        struct err err;
        if (inspection->store_errors[i].code != ERR_NONE) continue;
        struct store *store = inspection_store(inspection, &inspection->schedule->stores[i]);
        if (!store_driver(store)->advise) continue;
        if (store_driver(store)->advise(store, arena, &found, &n_found, &err)) {
            status = command_fail(invocation, EXIT_LATER, "%s", err.text);
            continue;
        }
        for (size_t j = 0; j < n_found; j++) *ARENA_APPEND(arena, remarks, result->n_remarks) = found[j];
    }
    result->remarks = remarks;
    return status;
}

/* What the daemon could not know its sweeps would wait for, and never destroy anything. */
static void check_throttle(const struct invocation *invocation, struct inspection *inspection) {
    const struct throttle_limits *limits = &inspection->schedule->settings.throttle;
    for (size_t i = 0; limits->configured && i < inspection->schedule->n_stores; i++) {
        const struct store_conf *conf = &inspection->schedule->stores[i];
        struct store *store = inspection_store(inspection, conf);
        struct pressure pressure;
        struct err err;
        if (inspection->store_errors[i].code != ERR_NONE || !store_driver(store)->pressure) continue;
        const struct place place = {.file = invocation->config};
        if (store_driver(store)->pressure(store, conf->kind == STORE_MONGODB ? NULL : limits->query, &pressure, &err))
            fault_add(&inspection->faults, place, "throttle: how others fare in \"%s\" could not be asked: %s; a sweep would wait for it", conf->name, err.text);
        else if (throttle_is_unreadable(&pressure))
            fault_add(&inspection->faults, place, "throttle: how others fare in \"%s\" may not be read, and a sweep would wait for it; lapsectl grants prints the missing right",
                      conf->name);
    }
}

static int check_stores(const struct invocation *invocation, const struct schedule *schedule, struct arena *arena) {
    __attribute__((cleanup(close_inspection))) struct inspection *inspection = NULL;
    struct err err;
    terminal_progress("connecting");
    if (inspection_open(schedule, &inspection, &err)) return command_fail_err(invocation, &err);
    terminal_progress("reading the catalogs");
    inspection_check(inspection);
    terminal_progress("looking what the schedule covers");
    /* Faults and stores that are down are told below, and are reason enough. */
    int known = EXIT_WELL;
    bool excused = inspection->faults.count;
    for (size_t i = 0; i < schedule->n_stores; i++) excused |= inspection->store_errors[i].code != ERR_NONE;
    if (inspection_know(inspection, &err) && !excused) known = command_fail_err(invocation, &err);
    struct result result = {.faults = &inspection->faults, .store_errors = inspection->store_errors, .schedule = schedule};
    int advised = advise(invocation, inspection, arena, &result);
    check_throttle(invocation, inspection);
    print_result(invocation, arena, &result);
    if (inspection->faults.count) return EXIT_FAULTY;
    for (size_t i = 0; i < schedule->n_stores; i++)
        if (inspection->store_errors[i].code == ERR_CONFIG) return EXIT_FAULTY;
    return count_errors(&result) ? EXIT_LATER : known ? known : advised;
}

static int run_check(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct err err;
    if (!schedule_load(invocation->config, true, &schedule, &faults, &err))
        return schedule->n_rules ? check_stores(invocation, schedule, arena) : print_draft(invocation, schedule);
    if (!faults.count) return command_fail_err(invocation, &err);
    faults_sort(&faults);
    print_result(invocation, arena, &(struct result){.faults = &faults});
    return EXIT_FAULTY;
}

const struct verb verb_check = {
    .name = "check",
    .group = "The schedule",
    .summary = "the schedule, held against the live catalogs: faults, and lines to paste",
    .operands = "",
    .notes = "Where there are no rules yet, it prints a draft of them from the catalogs.\n"
             "Exits with 0 if there is no fault, 78 if there are some, 75 if a store could not be asked.",
    .run = run_check,
};
