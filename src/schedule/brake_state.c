#include "schedule/brake_state.h"

#include "base/text.h"
#include "base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

static void free_text(char **text) { free(*text); }
static void free_json(json_t **json) { json_decref(*json); }

static struct brakes *brakes_new(void) {
    struct arena *arena = arena_new();
    struct brakes *brakes = ARENA_NEW(arena, struct brakes);
    *brakes = (struct brakes){.arena = arena, .running = -1, .refused = -1};
    return brakes;
}

void brakes_free(struct brakes *brakes) {
    if (brakes) arena_free(brakes->arena);
}

/* ---- reading ---- */

static bool read_waiting(struct arena *arena, json_t *object, struct waiting *to) {
    const char *text, *digest, *since;
    json_int_t records, tenants;
    if (json_unpack(object, "{s:s, s:s, s:I, s:I, s:s !}", "text", &text, "digest", &digest, "records", &records, "tenants", &tenants, "since", &since))
        return false;
    to->text = arena_strdup(arena, text);
    to->records = records;
    to->tenants = tenants;
    return strlen(digest) == sizeof to->digest - 1 && text_copy(to->digest, sizeof to->digest, digest) && time_parse(since, &to->since_us);
}

static bool read_run(json_t *object, struct brake_run *to) {
    const char *at;
    json_int_t records, tenants, share, span;
    if (json_unpack(object, "{s:s, s:I, s:I, s:I, s:I !}", "at", &at, "records", &records, "tenants", &tenants, "share", &share, "span_seconds", &span) ||
        !time_parse(at, &to->at_us) || records < 0 || tenants < 0 || share < 0 || span < 0 || span > INT64_MAX / TIME_SECOND_US)
        return false;
    to->records = records;
    to->tenants = tenants;
    to->share = share;
    to->span_us = span * TIME_SECOND_US;
    return true;
}

static bool read_rule(struct brakes *brakes, json_t *object) {
    struct arena *arena = brakes->arena;
    const char *rule, *reach, *ran;
    json_t *runs, *waiting;
    if (json_unpack(object, "{s:s, s:s, s:s, s:o, s:o !}", "rule", &rule, "reach", &reach, "ran", &ran, "runs", &runs, "waiting", &waiting) ||
        !json_is_array(runs) || json_array_size(runs) > MOST_RUNS)
        return false;
    struct brake_rule to = {.rule = arena_strdup(arena, rule), .reach = arena_strdup(arena, reach), .waits = !json_is_null(waiting),
                            .runs = ARENA_ARRAY(arena, struct brake_run, MOST_RUNS)};
    to.waiting.rule = to.rule;
    if ((*ran && !time_parse(ran, &to.ran_us)) || (to.waits && !read_waiting(arena, waiting, &to.waiting))) return false;
    size_t i;
    json_t *run;
    json_array_foreach(runs, i, run) if (!read_run(run, &to.runs[to.n_runs++])) return false;
    *ARENA_APPEND(arena, brakes->rules, brakes->n_rules) = to;
    return true;
}

static bool read_all(struct brakes *brakes, json_t *root) {
    json_int_t version, running, refused;
    json_t *rules, *list;
    if (!root || json_unpack(root, "{s:I, s:I, s:I, s:o, s:o !}", "v", &version, "running", &running, "refused", &refused, "list", &list, "rules", &rules) ||
        version != 1 || running < -1 || refused < -1 || !json_is_array(rules))
        return false;
    brakes->running = running;
    brakes->refused = refused;
    if (refused >= 0 && !read_waiting(brakes->arena, list, &brakes->list)) return false;
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule) if (!read_rule(brakes, rule)) return false;
    return true;
}

static int path_of(const char *state_folder, char *path, size_t size, struct err *err) {
    int length = snprintf(path, size, "%s/brakes.json", state_folder);
    if (length < 0 || (size_t)length >= size) return err_set(err, ERR_IO, "%s: the name is too long", state_folder);
    return 0;
}

int brakes_load(const char *state_folder, struct brakes **ret_brakes, struct err *err) {
    char path[4096];
    if (path_of(state_folder, path, sizeof path, err)) return -1;
    struct brakes *brakes = brakes_new();
    if (access(path, F_OK) && errno == ENOENT) {
        *ret_brakes = brakes;
        return 0;
    }
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    __attribute__((cleanup(free_json))) json_t *root = NULL;
    size_t length;
    int failed = text_read_file(path, MOST_BYTES, &bytes, &length, err);
    if (!failed) root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    if (!failed && !read_all(brakes, root))
        failed = err_set(err, ERR_IO, "%s is damaged; nothing is destroyed without the history of the rules: "
                         "restore it from a backup, or remove it and approve every rule anew", path);
    if (failed) {
        brakes_free(brakes);
        return -1;
    }
    *ret_brakes = brakes;
    return 0;
}

/* ---- writing ---- */

static void add_waiting(struct buf *to, const struct waiting *waiting) {
    buf_add(to, "{\"text\":");
    buf_add_json(to, waiting->text);
    buf_printf(to, ",\"digest\":\"%s\",\"records\":%" PRId64 ",\"tenants\":%" PRId64 ",\"since\":\"%s\"}", waiting->digest, waiting->records,
               waiting->tenants, time_format(waiting->since_us).text);
}

static void add_rule(struct buf *to, const struct brake_rule *rule) {
    buf_add(to, "{\"rule\":");
    buf_add_json(to, rule->rule);
    buf_printf(to, ",\"reach\":\"%s\",\"ran\":\"%s\",\"runs\":[", rule->reach, rule->ran_us ? time_format(rule->ran_us).text : "");
    for (size_t i = 0; i < rule->n_runs; i++) {
        const struct brake_run *run = &rule->runs[i];
        buf_printf(to, "%s{\"at\":\"%s\",\"records\":%" PRId64 ",\"tenants\":%" PRId64 ",\"share\":%" PRId64 ",\"span_seconds\":%" PRId64 "}", i ? ",\n" : "\n",
                   time_format(run->at_us).text, run->records, run->tenants, run->share, run->span_us / TIME_SECOND_US);
    }
    buf_add(to, "],\"waiting\":");
    if (rule->waits) add_waiting(to, &rule->waiting);
    else buf_add(to, "null");
    buf_add_char(to, '}');
}

int brakes_save(const struct brakes *brakes, const char *state_folder, struct err *err) {
    char path[4096];
    if (path_of(state_folder, path, sizeof path, err)) return -1;
    __attribute__((cleanup(buf_free))) struct buf text = {.maximum = MOST_BYTES};
    buf_printf(&text, "{\"v\":1,\"running\":%" PRId64 ",\"refused\":%" PRId64 ",\"list\":", brakes->running, brakes->refused);
    if (brakes->refused >= 0) add_waiting(&text, &brakes->list);
    else buf_add(&text, "null");
    buf_add(&text, ",\"rules\":[");
    for (size_t i = 0; i < brakes->n_rules; i++) {
        buf_add(&text, i ? ",\n" : "\n");
        add_rule(&text, &brakes->rules[i]);
    }
    buf_add(&text, "]}\n");
    if (text.overflow) return err_set(err, ERR_IO, "%s would be larger than 64 MiB", path);
    return text_write_file(path, text.text, text.length, 0640, err);
}
