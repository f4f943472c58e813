/* What lapsectl plan shows, made from an inspection: a row for every rule and for every stage of one, what is kept all the
 * same, and whose records they are. Pure: the numbers are the inspection's counts, added up. */
#ifndef LAPSED_COMMAND_PLAN_REPORT_H
#define LAPSED_COMMAND_PLAN_REPORT_H

#include "base/arena.h"
#include "sweep/inspect.h"

#include <stdbool.h>
#include <stdio.h>

enum plan_stage {
    STAGE_PURGE,
    STAGE_ANONYMIZE,
    STAGE_ANONYMIZE_BLOCKED, /* purge is due, but blocked: if_blocked = "anonymize" */
    N_STAGES
};

struct plan_blocked {
    const struct target *target;
    const char *by;
    int64_t count;
};

struct plan_row {
    const struct rule *rule;
    enum plan_stage stage;
    const char *keep;         /* as published */
    int64_t due;              /* blocked ones included */
    int64_t free;             /* not blocked */
    int64_t dependents;
    bool has_tenants;         /* false: the rule's targets say tenant = "none" */
    size_t n_tenants;         /* with something due; blocked ones where the store could tell */
    int64_t oldest_due_us;    /* since when the oldest is due; TIME_FOREVER: not known, or nothing is */
    const struct plan_blocked *blocked;
    size_t n_blocked;
    const char *const *waits; /* why parts of it are not asked: "docs cannot be reached" */
    size_t n_waits;
    int64_t held;             /* would be due, but for the holds */
    int64_t n_waiting_tenants; /* own records: of tenants that have others which are kept longer */
    bool forever;             /* no alternative ever ends */
    const struct leave *leave; /* what its rule's brakes say; NULL: they were not asked */
};

struct plan_tenant {
    const char *id;
    int64_t due;
    const struct rule *most; /* the rule with most of it */
};

/* What no rule can decide: the inspection's catalogs were asked for it target by target. */
struct plan_undecidable {
    const struct target *target;
    struct undecidable what;
};

struct plan_report {
    const struct schedule *schedule;
    int64_t now_us;
    const char *tenant;      /* the only one asked about; NULL: all */
    const char *tenant_text; /* what the list says of it */
    const struct plan_row *rows;
    size_t n_rows;
    const struct plan_tenant *tenants; /* the largest first */
    size_t n_tenants;
    const struct plan_undecidable *undecidable;
    size_t n_undecidable;
    const struct finding *findings;
    size_t n_findings;
    int64_t n_blocked, n_held, n_undecidable_records;
    const char *const *braked; /* why something waits for a person, whole */
    size_t n_braked;
    const char *const *notes;  /* of periods that were shortened */
    size_t n_notes;
    bool paused;
    int64_t paused_since_us;
    const char *paused_ground;
};

/* Everything is taken from `arena`; the inspection must outlive the report. `undecidable` is borrowed. */
struct plan_report *plan_report_make(struct arena *arena, const struct inspection *inspection, const char *tenant,
                                     const struct plan_undecidable *undecidable, size_t n_undecidable);

void plan_report_print(struct arena *arena, const struct plan_report *report, bool all_tenants, FILE *to, bool colour);
void plan_report_print_json(struct arena *arena, const struct plan_report *report, FILE *to);

/* "page_views.viewed_at is empty". */
const char *plan_undecidable_text(struct arena *arena, const struct plan_undecidable *undecidable);

#endif
