/* A request to the daemon: one JSON object in a file of the spool. The kernel's owner of the file is its author; the file's
 * name is its id, so that asking twice is asking once.
 *
 *   {"v":1,"request":"hold","scope":"tenant","tenant":"1042","ground":"litigation"}   scope: tenant, subtree, rule, all
 *   {"v":1,"request":"release","hold":"ID"}
 *   {"v":1,"request":"pause","ground":"incident"}
 *   {"v":1,"request":"resume"}
 *   {"v":1,"request":"approve","digest":"SHA-256 of a rule as it is written, or of a list of tenants","tenant":"1042"}   tenant may be left out
 *   {"v":1,"request":"clock"}     accepts the present time
 *
 * Read strictly: no unknown field, no field twice, no empty text, no free text (a ground is a code). */
#ifndef LAPSED_REQUEST_REQUEST_H
#define LAPSED_REQUEST_REQUEST_H

#include "journal/entry.h"
#include "schedule/holds.h"

enum { REQUEST_MOST_BYTES = 65536, REQUEST_MOST_ID = 64 };

enum request_kind { REQUEST_HOLD, REQUEST_RELEASE, REQUEST_PAUSE, REQUEST_RESUME, REQUEST_APPROVE, REQUEST_CLOCK };

struct request {
    enum request_kind kind;
    enum hold_scope scope;      /* REQUEST_HOLD */
    const char *tenant, *rule;  /* REQUEST_HOLD, by its scope; REQUEST_APPROVE: tenant NULL = all */
    const char *ground;         /* REQUEST_HOLD, REQUEST_PAUSE */
    const char *hold;           /* REQUEST_RELEASE: its id */
    const char *digest;         /* REQUEST_APPROVE: 64 hex digits */
};

const char *request_kind_name(enum request_kind kind); /* "hold" */
/* 1 to REQUEST_MOST_ID of a-z, 0-9, "-", "_" and ".", the first a letter or a digit: the name of a file, and no free text. */
bool request_is_id(const char *text);
/* 1 to 32 of a-z, 0-9 and "-", the first a letter. */
bool request_is_ground(const char *text);
/* Returns NULL, or the code of what is wrong: "syntax" (no strict JSON object), "version", "field" (one is missing, unknown
 * or not what it should be). Texts are taken from `arena`. */
const char *request_read(struct arena *arena, const char *bytes, size_t length, struct request *ret_request);
/* The file's bytes. */
void request_write(const struct request *request, struct buf *to);
/* Whether this user may ask for it: root and the daemon's own user may ask for everything. */
bool request_is_permitted(const struct settings *settings, enum request_kind kind, uint32_t author, uint32_t own_user);
/* NULL, or why the schedule cannot carry it out: "rule-unknown", "tenants-none", "tenants-personal". */
const char *request_misfit(const struct request *request, const struct schedule *schedule);
/* For people: what a refusal's code means and what to do. */
const char *request_refusal_text(const char *code);

#endif
