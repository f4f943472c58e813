#include "base/text.h"
#include "command/verbs.h"
#include "store/store.h"

#include <jansson.h>
#include <string.h>

static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }

/* Whom to grant to: as asked, else the user in the store's URL, else "lapsed". */
static const char *role_of(const struct invocation *invocation, const struct store_conf *conf, char *room, size_t size) {
    const char *asked = command_value(invocation, "role");
    if (asked) return asked;
    const char *user = strstr(conf->url, "://");
    size_t length = user ? strcspn(user + 3, "@/?:") : 0;
    if (!length || user[3 + strcspn(user + 3, "@/?")] != '@' || length >= size) return "lapsed";
    (void)snprintf(room, size, "%.*s", (int)length, user + 3);
    return room;
}

static int grants_of(const struct invocation *invocation, const struct schedule *schedule, const struct store_conf *conf,
                     const char *role, struct buf *text) {
    struct store *store = NULL;
    struct err err;
    if (store_open(schedule, conf, true, NULL, &store, &err)) return command_fail_err(invocation, &err);
    int status = store_driver(store)->grants(store, role, text, &err) ? command_fail_err(invocation, &err) : EXIT_WELL;
    store_close(store);
    return status;
}

static void print_grants(const struct invocation *invocation, const struct store_conf *conf, const char *role, const char *text,
                         json_t *list) {
    if (list)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "store", conf->name, "role", role, "grants", text));
    else
        (void)fputs(text, invocation->out);
}

static int run_grants(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    const char *only = command_value(invocation, "store");
    int status = command_load(invocation, false, &schedule);
    if (status) return status;
    json_t *list = invocation->json ? json_array() : NULL;
    size_t n_named = 0;
    for (size_t i = 0; i < schedule->n_stores; i++) {
        const struct store_conf *conf = &schedule->stores[i];
        char room[128];
        const char *role = role_of(invocation, conf, room, sizeof room);
        __attribute__((cleanup(buf_free))) struct buf text = {0};
        if (only && strcmp(only, conf->name) != 0) continue;
        if (n_named++ && !list) (void)fputc('\n', invocation->out);
        int of_store = grants_of(invocation, schedule, conf, role, &text);
        if (of_store)
            status = of_store;
        else
            print_grants(invocation, conf, role, buf_text(&text), list);
    }
    if (list) {
        (void)json_dumpf(list, invocation->out, JSON_INDENT(2));
        (void)fputc('\n', invocation->out);
        json_decref(list);
    }
    if (!n_named) return command_fail(invocation, EXIT_USAGE, "%s has no store \"%s\"", schedule->path, only);
    return status;
}

static const struct option options[] = {
    {"role", "NAME", "grant to this role or user (default: the one in the store's URL)"},
    {"store", "NAME", "this store only"},
};

const struct verb verb_grants = {
    .name = "grants",
    .group = "The schedule",
    .summary = "the privileges that it needs, as statements to paste, and no more",
    .operands = "",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run_grants,
};
