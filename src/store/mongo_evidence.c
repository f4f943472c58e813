#include "store/mongo_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Beyond it a double does not tell neighbouring integers apart. */
static const double most_exact_double = 9007199254740992.0;

enum { UUID_BYTES = 16 };

static void add_number(struct evidence_batch *evidence, int64_t number) {
    char json[64];
    (void)snprintf(json, sizeof json, "{\"$numberLong\":\"%" PRId64 "\"}", number);
    evidence_json(evidence, json);
}

static void add_object_id(struct evidence_batch *evidence, const bson_iter_t *id) {
    char text[25], json[64];
    bson_oid_to_string(bson_iter_oid(id), text);
    (void)snprintf(json, sizeof json, "{\"$oid\":\"%s\"}", text);
    evidence_json(evidence, json);
}

/* False: it is another kind of binary. */
static bool add_uuid(struct evidence_batch *evidence, const bson_iter_t *id) {
    bson_subtype_t subtype;
    uint32_t length;
    const uint8_t *b;
    bson_iter_binary(id, &subtype, &length, &b);
    if (subtype != BSON_SUBTYPE_UUID || length != UUID_BYTES) return false;
    char json[64];
    (void)snprintf(json, sizeof json, "{\"$uuid\":\"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\"}", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    evidence_json(evidence, json);
    return true;
}

/* libbson writes spaces between the parts. What is no JSON (a string that is not UTF-8 inside a compound _id) stays BSON. */
static void add_other(struct evidence_batch *evidence, const bson_iter_t *id) {
    bson_t alone = BSON_INITIALIZER;
    size_t length;
    bson_append_iter(&alone, "_id", -1, id);
    char *spaced = bson_as_canonical_extended_json(&alone, &length);
    json_t *document = spaced ? json_loadb(spaced, length, JSON_ALLOW_NUL, NULL) : NULL;
    char *compact = document ? json_dumps(json_object_get(document, "_id"), JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (compact) evidence_json(evidence, compact);
    else evidence_bytes(evidence, (const char *)bson_get_data(&alone), alone.len);
    free(compact);
    json_decref(document);
    bson_free(spaced);
    bson_destroy(&alone);
}

static void add_id(struct evidence_batch *evidence, const bson_iter_t *id) {
    uint32_t length;
    const char *text;
    double number;
    switch (bson_iter_type(id)) {
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(id, &length);
        evidence_bytes(evidence, text, length);
        return;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64: add_number(evidence, bson_iter_as_int64(id)); return;
    case BSON_TYPE_DOUBLE: /* 7.0 and 7 are one _id to the server */
        number = bson_iter_double(id);
        if (fabs(number) <= most_exact_double && floor(number) == number) add_number(evidence, (int64_t)number);
        else add_other(evidence, id);
        return;
    case BSON_TYPE_OID: add_object_id(evidence, id); return;
    case BSON_TYPE_BINARY:
        if (!add_uuid(evidence, id)) add_other(evidence, id);
        return;
    default: add_other(evidence, id); return;
    }
}

void mongo_add_evidence(struct evidence_batch *evidence, const char *collection, const bson_t *document) {
    bson_iter_t id;
    if (evidence->off || !bson_iter_init_find(&id, document, "_id")) return;
    evidence_record(evidence, collection);
    add_id(evidence, &id);
    evidence_add(evidence);
}
