#include "sweep/seen.h"

#include "base/log.h"
#include "base/text.h"
#include "base/time.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

struct named_rule {
    char *name;
    struct seen_rule rule;
};

struct seen {
    json_t *findings; /* an array */
    struct named_rule *rules;
    size_t n_rules;
};

/* ---- reading ---- */

static void free_text(char **text) { free(*text); }

/* NULL: there is none, or it is no JSON array. */
static json_t *read_array(const char *folder, const char *name) {
    char path[4096];
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    size_t length;
    struct err err;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path || access(path, F_OK)) return NULL;
    json_t *array = text_read_file(path, MOST_BYTES, &bytes, &length, &err) ? NULL : json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_array(array)) return array;
    log_warning("%s cannot be read; what it says since when is counted anew", path);
    json_decref(array);
    return NULL;
}

static int64_t time_field(const json_t *object, const char *name, int64_t otherwise_us) {
    const char *text = json_string_value(json_object_get(object, name));
    int64_t us;
    return text && time_parse(text, &us) ? us : otherwise_us;
}

static struct named_rule *append(struct seen *seen, const char *name) {
    seen->rules = xrealloc(seen->rules, (seen->n_rules + 1) * sizeof *seen->rules);
    struct named_rule *rule = &seen->rules[seen->n_rules++];
    *rule = (struct named_rule){.name = xstrdup(name)};
    return rule;
}

static void load_rules(struct seen *seen, const char *folder) {
    json_t *array = read_array(folder, "rules.json"), *object;
    size_t i;
    json_array_foreach(array, i, object) {
        const char *name = json_string_value(json_object_get(object, "rule"));
        int64_t since_us = time_field(object, "since", 0), failures = json_integer_value(json_object_get(object, "failures"));
        if (!name || !since_us) continue;
        append(seen, name)->rule = (struct seen_rule){.since_us = since_us, .success_us = time_field(object, "success", 0),
                                                      .failures = failures > 0 ? failures : 0};
    }
    json_decref(array);
}

struct seen *seen_load(const char *state_folder) {
    struct seen *seen = xcalloc(1, sizeof *seen);
    seen->findings = read_array(state_folder, "findings.json");
    load_rules(seen, state_folder);
    return seen;
}

void seen_free(struct seen *seen) {
    if (!seen) return;
    for (size_t i = 0; i < seen->n_rules; i++) free(seen->rules[i].name);
    free(seen->rules);
    json_decref(seen->findings);
    free(seen);
}

/* ---- findings ---- */

static bool is_same(const json_t *object, const char *name, const char *text) {
    return text_equal(json_string_value(json_object_get(object, name)), text);
}

int64_t seen_finding(const struct seen *seen, const struct finding *finding) {
    size_t i;
    json_t *object;
    json_array_foreach(seen->findings, i, object) {
        if (is_same(object, "code", finding->code) && is_same(object, "rule", finding->rule) && is_same(object, "store", finding->store) &&
            is_same(object, "place", finding->place) && is_same(object, "tenant", finding->tenant))
            return time_field(object, "first_seen", TIME_FOREVER);
    }
    return TIME_FOREVER;
}

void seen_findings(struct seen *seen, const char *json) {
    json_decref(seen->findings);
    seen->findings = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
}

/* ---- rules ---- */

struct seen_rule *seen_rule(struct seen *seen, const char *name, int64_t now_us) {
    for (size_t i = 0; i < seen->n_rules; i++)
        if (text_equal(seen->rules[i].name, name)) return &seen->rules[i].rule;
    struct named_rule *rule = append(seen, name);
    rule->rule.since_us = now_us;
    return &rule->rule;
}

static bool is_of(const struct schedule *schedule, const char *name) {
    for (size_t i = 0; i < schedule->n_rules; i++)
        if (text_equal(schedule->rules[i].data, name)) return true;
    return false;
}

int seen_save(const struct seen *seen, const struct schedule *schedule, const char *state_folder, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf json = {0};
    char path[4096];
    if (snprintf(path, sizeof path, "%s/rules.json", state_folder) >= (int)sizeof path)
        return err_set(err, ERR_IO, "%s: the name is too long", state_folder);
    const char *between = "[\n";
    for (size_t i = 0; i < seen->n_rules; i++) {
        const struct named_rule *named = &seen->rules[i];
        if (!is_of(schedule, named->name)) continue;
        buf_printf(&json, "%s{\"rule\":", between);
        buf_add_json(&json, named->name);
        buf_printf(&json, ",\"since\":\"%s\"", time_format(named->rule.since_us).text);
        if (named->rule.success_us) buf_printf(&json, ",\"success\":\"%s\"", time_format(named->rule.success_us).text);
        buf_printf(&json, ",\"failures\":%" PRId64 "}", named->rule.failures);
        between = ",\n";
    }
    buf_add(&json, *between == '[' ? "[]\n" : "]\n");
    return text_replace_file(path, buf_text(&json), json.length, 0644, err);
}
