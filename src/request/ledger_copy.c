#include "base/time.h"
#include "request/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_COPY_BYTES = 256 << 20 };

/* ---- writing ---- */

static void add_text(struct buf *to, const char *name, const char *text) {
    buf_printf(to, ",\"%s\":", name);
    if (text) buf_add_json(to, text);
    else buf_add(to, "null");
}

static void add_time(struct buf *to, const char *name, int64_t us) {
    add_text(to, name, us == TIME_FOREVER ? NULL : time_format(us).text);
}

static void add_hold(struct buf *to, const struct hold *hold, int64_t cooling_off_us) {
    bool released = hold->released_us != TIME_FOREVER;
    buf_add(to, "{\"id\":");
    buf_add_json(to, hold->id);
    add_text(to, "scope", hold_scope_name(hold->scope));
    add_text(to, "tenant", hold->tenant);
    add_text(to, "rule", hold->rule);
    add_text(to, "ground", hold->ground);
    buf_printf(to, ",\"author\":%" PRIu32, hold->author);
    add_time(to, "since", hold->since_us);
    add_time(to, "released", hold->released_us);
    add_time(to, "until", released ? hold->released_us + cooling_off_us : TIME_FOREVER);
    buf_add(to, ",\"members\":[");
    for (size_t i = 0; i < hold->n_members; i++) {
        if (i) buf_add_char(to, ',');
        buf_add_json(to, hold->members[i]);
    }
    buf_add(to, "]}");
}

static void add_approval(struct buf *to, const struct approval *approval) {
    buf_add(to, "{\"id\":");
    buf_add_json(to, approval->id);
    add_text(to, "digest", approval->digest);
    add_text(to, "tenant", approval->tenant);
    add_text(to, "rule", approval->rule);
    add_time(to, "at", approval->at_us);
    buf_printf(to, ",\"author\":%" PRIu32 "}", approval->author);
}

void ledger_json(struct ledger *ledger, int64_t now_us, int64_t cooling_off_us, struct buf *to) {
    const struct pause *pause = ledger_pause(ledger);
    buf_add(to, "{\"v\":1,\"paused\":");
    if (pause) {
        buf_add(to, "{\"id\":");
        buf_add_json(to, pause->id);
        add_text(to, "ground", pause->ground);
        add_time(to, "since", pause->since_us);
        buf_printf(to, ",\"author\":%" PRIu32 "}", pause->author);
    } else {
        buf_add(to, "null");
    }
    const struct approvals *approvals = ledger_approvals(ledger);
    buf_add(to, ",\n\"approvals\":[");
    for (size_t i = 0; i < approvals->count; i++) {
        buf_add(to, i ? ",\n" : "\n");
        add_approval(to, &approvals->items[i]);
    }
    buf_add(to, "],\n\"holds\":[");
    const struct holds *holds = ledger_holds(ledger, now_us, cooling_off_us);
    for (size_t i = 0; i < holds->count; i++) {
        buf_add(to, i ? ",\n" : "\n");
        add_hold(to, &holds->items[i], cooling_off_us);
    }
    buf_add(to, "]}\n");
}

/* ---- reading ---- */

static void free_text(char **text) { free(*text); }
static void free_json(json_t **json) { json_decref(*json); }

static const char *text_of(struct arena *arena, const json_t *object, const char *name) {
    return arena_strdup(arena, json_string_value(json_object_get(object, name)));
}

static int64_t time_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    int64_t us;
    return text && time_parse(text, &us) ? us : TIME_FOREVER;
}

static bool read_hold(struct arena *arena, const json_t *object, struct hold *ret_hold) {
    struct hold hold = {.id = text_of(arena, object, "id"), .tenant = text_of(arena, object, "tenant"), .rule = text_of(arena, object, "rule"),
                        .ground = text_of(arena, object, "ground"), .since_us = time_of(object, "since"),
                        .released_us = time_of(object, "released"),
                        .author = (uint32_t)json_integer_value(json_object_get(object, "author"))};
    const char *scope = json_string_value(json_object_get(object, "scope"));
    bool known = false;
    for (enum hold_scope s = HOLD_TENANT; s <= HOLD_ALL; s++) {
        if (!text_equal(scope, hold_scope_name(s))) continue;
        hold.scope = s;
        known = true;
    }
    const json_t *list = json_object_get(object, "members");
    const char **members = ARENA_ARRAY(arena, const char *, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        members[i] = arena_strdup(arena, json_string_value(json_array_get(list, i)));
        known = known && members[i];
    }
    hold.members = members;
    hold.n_members = json_array_size(list);
    bool of_tenant = hold.scope == HOLD_TENANT || hold.scope == HOLD_SUBTREE;
    if (!known || !hold.id || !hold.ground || (of_tenant && !hold.tenant) || (hold.scope == HOLD_RULE && !hold.rule)) return false;
    *ret_hold = hold;
    return true;
}

static bool read_approvals(struct arena *arena, const json_t *list, struct approvals *ret_approvals) {
    struct approval *approvals = ARENA_ARRAY(arena, struct approval, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        approvals[i] = (struct approval){.id = text_of(arena, object, "id"), .digest = text_of(arena, object, "digest"), .tenant = text_of(arena, object, "tenant"),
                                         .rule = text_of(arena, object, "rule"), .at_us = time_of(object, "at"),
                                         .author = (uint32_t)json_integer_value(json_object_get(object, "author"))};
        if (!approvals[i].id || !approvals[i].digest || approvals[i].at_us == TIME_FOREVER) return false;
    }
    *ret_approvals = (struct approvals){.items = approvals, .count = json_array_size(list)};
    return true;
}

static bool read_copy(struct arena *arena, const json_t *root, struct ledger_copy *copy) {
    const json_t *list = json_object_get(root, "holds"), *paused = json_object_get(root, "paused");
    if (json_integer_value(json_object_get(root, "v")) != 1 || !json_is_array(list) || !paused) return false;
    struct hold *holds = ARENA_ARRAY(arena, struct hold, json_array_size(list));
    int64_t *until_us = ARENA_ARRAY(arena, int64_t, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!read_hold(arena, json_array_get(list, i), &holds[i])) return false;
        until_us[i] = time_of(json_array_get(list, i), "until");
    }
    copy->holds = (struct holds){.items = holds, .count = json_array_size(list)};
    copy->until_us = until_us;
    if (!read_approvals(arena, json_object_get(root, "approvals"), &copy->approvals)) return false;
    copy->paused = json_is_object(paused);
    if (copy->paused) {
        copy->paused_ground = text_of(arena, paused, "ground");
        copy->paused_since_us = time_of(paused, "since");
    }
    return true;
}

int ledger_copy_read(const char *state_folder, struct arena *arena, struct ledger_copy *ret_copy, struct err *err) {
    const char *path = arena_printf(arena, "%s/" LEDGER_COPY, state_folder);
    *ret_copy = (struct ledger_copy){.paused = false};
    if (access(path, F_OK) && errno == ENOENT) return 0;
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    size_t length;
    if (text_read_file(path, MOST_COPY_BYTES, &bytes, &length, err)) return -1;
    __attribute__((cleanup(free_json))) json_t *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    struct ledger_copy copy = {.paused = false};
    if (!root || !read_copy(arena, root, &copy))
        return err_set(err, ERR_IO, "\"%s\" cannot be read; a running lapsed writes it anew at its next sweep, and \"lapsectl journal show\" names the holds", path);
    *ret_copy = copy;
    return 0;
}
