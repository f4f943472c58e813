#include "journal/fields.h"

#include <assert.h>

#define KEY(name) ",\"" name "\":", sizeof ",\"" name "\":" - 1
#define TENANT(field, kind) {KEY(#field), kind, offsetof(struct entry_tenant, field), 0, NULL}
#define RULE(field, kind) {KEY(#field), kind, offsetof(struct entry_rule, field), 0, NULL}
#define RESULT(field) {KEY(#field), FIELD_INTEGER, offsetof(struct entry_result, field), 0, NULL}
#define REMOVED(field, kind) {KEY(#field), kind, offsetof(struct entry_removed, field), 0, NULL}
#define NAMED(name, kind, field) {KEY(name), kind, offsetof(struct entry, field), 0, NULL}
#define FIELD(field, kind) NAMED(#field, kind, field)
#define LIST(field, shape) {KEY(#field), FIELD_LIST, offsetof(struct entry, field), offsetof(struct entry, n_##field), shape}

static const struct shape tenant_shape = {
    .size = sizeof(struct entry_tenant),
    .kind = SHAPE_ARRAY,
    .fields = {TENANT(id, FIELD_TEXT), TENANT(records, FIELD_INTEGER), TENANT(cutoff_us, FIELD_CUTOFF)},
    .n_fields = 3,
};
static const struct shape rule_shape = {
    .size = sizeof(struct entry_rule),
    .fields = {RULE(data, FIELD_TEXT), RULE(keep, FIELD_TEXT), RULE(anonymize, FIELD_NULLABLE),
               RULE(at_least, FIELD_NULLABLE), RULE(basis, FIELD_TEXT)},
    .n_fields = 5,
};
static const struct shape result_shape = {
    .size = sizeof(struct entry_result),
    .fields = {{KEY("data"), FIELD_TEXT, offsetof(struct entry_result, data), 0, NULL}, RESULT(purged), RESULT(anonymized),
               RESULT(dependents), RESULT(blocked), RESULT(undecidable), RESULT(left), RESULT(lag_us)},
    .n_fields = 8,
};

static const struct shape text_shape = {
    .size = sizeof(const char *),
    .kind = SHAPE_VALUE,
    .fields = {{"", 0, FIELD_TEXT, 0, 0, NULL}},
    .n_fields = 1,
};
static const struct shape removed_shape = {
    .size = sizeof(struct entry_removed),
    .fields = {REMOVED(file, FIELD_TEXT), REMOVED(first_seq, FIELD_INTEGER), REMOVED(last_seq, FIELD_INTEGER),
               REMOVED(sha256, FIELD_TEXT), REMOVED(root, FIELD_TEXT)},
    .n_fields = 5,
};

static const struct event_fields events[ENTRY_EVENTS] = {
    [ENTRY_START] = {"start", {FIELD(version, FIELD_TEXT), LIST(keys, &text_shape)}, 2},
    [ENTRY_STOP] = {"stop", {FIELD(trigger, FIELD_TEXT)}, 1},
    [ENTRY_SCHEDULE] = {"schedule", {FIELD(schedule, FIELD_TEXT), LIST(rules, &rule_shape)}, 2},
    [ENTRY_SWEEP_BEGIN] = {"sweep-begin",
                           {FIELD(sweep, FIELD_INTEGER), FIELD(trigger, FIELD_TEXT), FIELD(tenants_total, FIELD_INTEGER)},
                           3},
    [ENTRY_SWEEP_END] = {"sweep-end",
                         {FIELD(sweep, FIELD_INTEGER), FIELD(outcome, FIELD_TEXT), LIST(results, &result_shape)},
                         3},
    [ENTRY_INTENT] = {"intent",
                      {FIELD(sweep, FIELD_INTEGER), FIELD(batch, FIELD_INTEGER), FIELD(rule, FIELD_TEXT),
                       FIELD(store, FIELD_TEXT), FIELD(target, FIELD_TEXT), FIELD(action, FIELD_TEXT),
                       FIELD(from, FIELD_NULLABLE), LIST(tenants, &tenant_shape), FIELD(records, FIELD_INTEGER),
                       FIELD(dependents, FIELD_INTEGER), NAMED("mode", FIELD_MODE, range), FIELD(evidence, FIELD_NULLABLE),
                       FIELD(transaction, FIELD_OPTIONAL), FIELD(server, FIELD_OPTIONAL), FIELD(schedule, FIELD_TEXT)},
                      15},
    [ENTRY_OUTCOME] = {"outcome",
                       {FIELD(sweep, FIELD_INTEGER), FIELD(batch, FIELD_INTEGER), FIELD(outcome, FIELD_TEXT),
                        FIELD(result, FIELD_NULLABLE), FIELD(records, FIELD_INTEGER), FIELD(dependents, FIELD_INTEGER),
                        FIELD(code, FIELD_NULLABLE), FIELD(detail, FIELD_NULLABLE)},
                       8},
    [ENTRY_FINDING] = {"finding",
                       {FIELD(sweep, FIELD_INTEGER), FIELD(code, FIELD_TEXT), FIELD(rule, FIELD_NULLABLE),
                        FIELD(store, FIELD_NULLABLE), FIELD(target, FIELD_NULLABLE), FIELD(tenant, FIELD_NULLABLE),
                        FIELD(count, FIELD_INTEGER)},
                       7},
    [ENTRY_RECOVER] = {"recover",
                       {FIELD(cut_bytes, FIELD_INTEGER), FIELD(cut_sha256, FIELD_TEXT), FIELD(cut_file, FIELD_NULLABLE)},
                       3},
    [ENTRY_SEGMENT] = {"segment",
                       {FIELD(origin, FIELD_TEXT), FIELD(previous, FIELD_TEXT), LIST(frontier, &text_shape)},
                       3},
    [ENTRY_CHECKPOINT] = {"checkpoint",
                          {FIELD(origin, FIELD_TEXT), FIELD(size, FIELD_INTEGER), FIELD(root, FIELD_TEXT), LIST(signatures, &text_shape)},
                          4},
    [ENTRY_PRUNE] = {"prune", {LIST(removed, &removed_shape)}, 1},
    [ENTRY_HOLD] = {"hold",
                    {FIELD(id, FIELD_TEXT), FIELD(outcome, FIELD_TEXT), FIELD(author, FIELD_INTEGER), FIELD(scope, FIELD_TEXT),
                     FIELD(tenant, FIELD_NULLABLE), FIELD(rule, FIELD_NULLABLE), FIELD(ground, FIELD_TEXT),
                     NAMED("since", FIELD_CUTOFF, placed_us), NAMED("released", FIELD_CUTOFF, released_us),
                     FIELD(request, FIELD_TEXT), LIST(members, &text_shape)},
                    11},
    [ENTRY_RELEASE] = {"release",
                       {FIELD(id, FIELD_TEXT), FIELD(author, FIELD_INTEGER), FIELD(hold, FIELD_TEXT), FIELD(request, FIELD_TEXT)},
                       4},
    [ENTRY_PAUSE] = {"pause",
                     {FIELD(id, FIELD_TEXT), FIELD(outcome, FIELD_TEXT), FIELD(author, FIELD_INTEGER), FIELD(ground, FIELD_TEXT),
                      NAMED("since", FIELD_CUTOFF, placed_us), FIELD(request, FIELD_TEXT)},
                     6},
    [ENTRY_RESUME] = {"resume", {FIELD(id, FIELD_TEXT), FIELD(author, FIELD_INTEGER), FIELD(request, FIELD_TEXT)}, 3},
    [ENTRY_REFUSE] = {"refuse",
                      {FIELD(id, FIELD_NULLABLE), FIELD(author, FIELD_INTEGER), FIELD(code, FIELD_TEXT), FIELD(request, FIELD_NULLABLE)},
                      4},
    [ENTRY_WAIT] = {"wait",
                    {FIELD(sweep, FIELD_INTEGER), FIELD(store, FIELD_NULLABLE), FIELD(code, FIELD_TEXT),
                     NAMED("since", FIELD_CUTOFF, placed_us)},
                    4},
    [ENTRY_CLOCK] = {"clock",
                     {FIELD(id, FIELD_TEXT), FIELD(author, FIELD_INTEGER), NAMED("latest", FIELD_CUTOFF, placed_us), FIELD(request, FIELD_TEXT)},
                     4},
    [ENTRY_APPROVE] = {"approve",
                       {FIELD(id, FIELD_TEXT), FIELD(outcome, FIELD_TEXT), FIELD(author, FIELD_INTEGER), FIELD(rule, FIELD_NULLABLE),
                        FIELD(tenant, FIELD_NULLABLE), FIELD(digest, FIELD_TEXT), NAMED("since", FIELD_CUTOFF, placed_us),
                        FIELD(request, FIELD_TEXT)},
                       8},
};

const struct event_fields *fields_of(enum entry_event event) {
    assert(event < ENTRY_EVENTS);
    return &events[event];
}
