/* Why a record is kept, or goes: what every rule on its place says of it, in sentences. Pure: from the facts that the
 * store told, the tenants and the periods in force, at `now`. */
#ifndef LAPSED_COMMAND_EXPLAIN_REPORT_H
#define LAPSED_COMMAND_EXPLAIN_REPORT_H

#include "base/arena.h"
#include "schedule/history.h"
#include "schedule/holds.h"
#include "schedule/tenants.h"
#include "store/store.h"

#include <stdio.h>

/* One target that holds the record. */
struct explain_place {
    const struct target *target;
    struct record_facts facts;
    const struct hold *held; /* what forbids to destroy it; NULL: nothing */
    bool own; /* one of the tenant's own records */
};

enum explain_state {
    EXPLAIN_DUE,
    EXPLAIN_LATER,
    EXPLAIN_RUNNING,     /* the end has not come */
    EXPLAIN_UNDECIDABLE,
    EXPLAIN_FOREVER,
    EXPLAIN_NOT_MEANT,   /* the target's `only` is not true of it */
};

/* What one alternative of one rule says. */
struct explain_verdict {
    const struct explain_place *place;
    enum action action;
    const struct keep *keep;
    enum explain_state state;
    const char *anchor;   /* "issued_on", "the subscription of tenant 1042" */
    int64_t anchor_us;    /* TIME_FOREVER: none */
    struct period period; /* that counts; count 0: at once */
    int64_t due_us;       /* TIME_FOREVER: not known, or never */
    int64_t floor_us;     /* nothing may destroy it before; TIME_NEVER: no at_least */
    const struct rule *floor_rule;
    const char *why;      /* EXPLAIN_RUNNING, EXPLAIN_UNDECIDABLE: a clause; else NULL */
};

struct explain_report {
    const char *key;
    const char *tenant; /* NULL: none */
    const struct explain_place *places;
    size_t n_places;
    int64_t now_us;
    const struct explain_verdict *verdicts; /* the earliest first */
    size_t n_verdicts;
};

/* All places are in one store and have one name; their `exists` is true. Everything is taken from `arena`. */
struct explain_report *explain_report_make(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                                           const struct history *history, const char *key, const struct explain_place *places,
                                           size_t n_places, int64_t now_us);
/* One paragraph, without a line feed at its end. */
const char *explain_report_text(struct arena *arena, const struct explain_report *report);
void explain_report_print_json(struct arena *arena, const struct explain_report *report, FILE *to);

#endif
