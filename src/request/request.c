#include "request/request.h"

#include "base/text.h"

#include <jansson.h>
#include <string.h>

enum { MOST_TENANT = 255, MOST_GROUND = 32 };

static const char *const kind_names[] = {[REQUEST_HOLD] = "hold", [REQUEST_RELEASE] = "release", [REQUEST_PAUSE] = "pause", [REQUEST_RESUME] = "resume",
                                         [REQUEST_APPROVE] = "approve", [REQUEST_CLOCK] = "clock"};

const char *request_kind_name(enum request_kind kind) { return kind_names[kind]; }

static bool is_small(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool request_is_id(const char *text) {
    size_t length = strlen(text);
    if (!length || length > REQUEST_MOST_ID || !is_small(text[0])) return false;
    for (const char *c = text; *c; c++)
        if (!is_small(*c) && !strchr("-_.", *c)) return false;
    return true;
}

bool request_is_ground(const char *text) {
    size_t length = strlen(text);
    if (!length || length > MOST_GROUND || text[0] < 'a' || text[0] > 'z') return false;
    for (const char *c = text; *c; c++)
        if (!is_small(*c) && *c != '-') return false;
    return true;
}

/* ---- reading ---- */

static void free_json(json_t **json) { json_decref(*json); }

/* The fields while they are taken: each at most once, and none may be left over. */
struct fields {
    struct arena *arena;
    const json_t *object;
    size_t taken;
    bool bad;
};

static const char *take(struct fields *fields, const char *name) {
    const json_t *value = json_object_get(fields->object, name);
    const char *text = json_string_value(value);
    fields->taken += value != NULL;
    /* jansson keeps the length apart: a text with a NUL in it is not one of ours. */
    if (!text || !*text || strlen(text) != json_string_length(value)) {
        fields->bad = true;
        return "";
    }
    return arena_strdup(fields->arena, text);
}

static bool is_plain(const char *text, size_t most) {
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return false;
    return strlen(text) <= most;
}

static enum hold_scope take_scope(struct fields *fields) {
    const char *name = take(fields, "scope");
    for (enum hold_scope scope = HOLD_TENANT; scope <= HOLD_ALL; scope++)
        if (!strcmp(name, hold_scope_name(scope))) return scope;
    fields->bad = true;
    return HOLD_ALL;
}

static void take_ground(struct fields *fields, struct request *request) {
    request->ground = take(fields, "ground");
    fields->bad |= !request_is_ground(request->ground);
}

static void take_hold(struct fields *fields, struct request *request) {
    request->scope = take_scope(fields);
    if (request->scope == HOLD_RULE) request->rule = take(fields, "rule");
    if (request->scope == HOLD_TENANT || request->scope == HOLD_SUBTREE) {
        request->tenant = take(fields, "tenant");
        fields->bad |= !is_plain(request->tenant, MOST_TENANT);
    }
    take_ground(fields, request);
}

static bool is_digest(const char *text) { return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64; }

static void take_approve(struct fields *fields, struct request *request) {
    request->digest = take(fields, "digest");
    fields->bad |= !is_digest(request->digest);
    if (!json_object_get(fields->object, "tenant")) return;
    request->tenant = take(fields, "tenant");
    fields->bad |= !is_plain(request->tenant, MOST_TENANT);
}

static bool take_kind(struct fields *fields, struct request *request) {
    const char *name = take(fields, "request");
    for (enum request_kind kind = REQUEST_HOLD; kind <= REQUEST_CLOCK; kind++) {
        if (strcmp(name, kind_names[kind]) != 0) continue;
        request->kind = kind;
        return true;
    }
    return false;
}

const char *request_read(struct arena *arena, const char *bytes, size_t length, struct request *ret_request) {
    __attribute__((cleanup(free_json))) json_t *object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) return "syntax";
    const json_t *version = json_object_get(object, "v");
    if (!json_is_integer(version) || json_integer_value(version) != 1) return "version";
    struct fields fields = {.arena = arena, .object = object, .taken = 1};
    struct request request = {0};
    if (!take_kind(&fields, &request)) return "field";
    if (request.kind == REQUEST_HOLD) take_hold(&fields, &request);
    if (request.kind == REQUEST_PAUSE) take_ground(&fields, &request);
    if (request.kind == REQUEST_APPROVE) take_approve(&fields, &request);
    if (request.kind == REQUEST_RELEASE) {
        request.hold = take(&fields, "hold");
        fields.bad |= !request_is_id(request.hold);
    }
    if (fields.bad || fields.taken != json_object_size(object)) return "field";
    *ret_request = request;
    return NULL;
}

/* ---- writing ---- */

static void add_field(struct buf *to, const char *name, const char *text) {
    if (!text) return;
    buf_printf(to, ",\"%s\":", name);
    buf_add_json(to, text);
}

void request_write(const struct request *request, struct buf *to) {
    buf_printf(to, "{\"v\":1,\"request\":\"%s\"", kind_names[request->kind]);
    if (request->kind == REQUEST_HOLD) add_field(to, "scope", hold_scope_name(request->scope));
    add_field(to, "tenant", request->tenant);
    add_field(to, "rule", request->rule);
    add_field(to, "hold", request->hold);
    add_field(to, "digest", request->digest);
    add_field(to, "ground", request->ground);
    buf_add(to, "}\n");
}

/* ---- judging ---- */

bool request_is_permitted(const struct settings *settings, enum request_kind kind, uint32_t author, uint32_t own_user) {
    static const unsigned bits[] = {[REQUEST_HOLD] = MAY_HOLD, [REQUEST_RELEASE] = MAY_RELEASE, [REQUEST_PAUSE] = MAY_PAUSE, [REQUEST_RESUME] = MAY_RESUME,
                                    [REQUEST_APPROVE] = MAY_APPROVE, [REQUEST_CLOCK] = MAY_APPROVE};
    if (author == 0 || author == own_user) return true;
    for (size_t i = 0; i < settings->n_principals; i++)
        if (settings->principals[i].uid == author && settings->principals[i].may & bits[kind]) return true;
    return false;
}

const char *request_misfit(const struct request *request, const struct schedule *schedule) {
    if (request->tenant && !schedule->has_tenants) return "tenants-none";
    /* A hold lives in the journal, which must not know whom it is about. */
    if (request->tenant && schedule->tenants.personal) return "tenants-personal";
    if (!request->rule) return NULL;
    for (size_t i = 0; i < schedule->n_rules; i++)
        if (!strcmp(schedule->rules[i].data, request->rule)) return NULL;
    return "rule-unknown";
}

const char *request_refusal_text(const char *code) {
    static const struct { const char *code, *text; } texts[] = {
        {"name", "the file's name is no id: a-z, 0-9, \"-\", \"_\" and \".\", at most 64"},
        {"file", "it is not a regular file with one name"},
        {"size", "it is larger than 64 KiB"},
        {"unreadable", "the daemon's user may not read it"},
        {"syntax", "it is not one strict JSON object"},
        {"version", "its version is not 1"},
        {"field", "a field is missing, unknown, or not what it should be"},
        {"not-permitted", "its author may not ask for this; see principals in lapsed.conf(5)"},
        {"conflict", "this id was used for something else; choose another"},
        {"rule-unknown", "the schedule has no rule of this name; lapsectl policy lists them"},
        {"tenants-none", "the schedule knows no tenants; name a rule, or all"},
        {"tenants-personal", "the tenants' ids are personal data (tenants.personal), which the journal must not hold; name a rule, or all"},
        {"digest-unknown", "nothing waits under this digest: the rule reads otherwise by now, or lapsed has not loaded it yet; lapsectl approve lists what waits"},
        {"hold-unknown", "there is no hold of this id; lapsectl hold list names them"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(texts[i].code, code)) return texts[i].text;
    return code;
}
