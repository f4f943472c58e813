/* The plan: from the schedule, the tenants, the periods in force and the holds, at `now`, which orders a sweep has to
 * carry out, and in which sequence. Pure: it takes `now` and does no I/O. */
#ifndef LAPSED_SCHEDULE_PLAN_H
#define LAPSED_SCHEDULE_PLAN_H

#include "schedule/history.h"
#include "schedule/holds.h"
#include "schedule/order.h"
#include "schedule/tenants.h"

/* When a finding is an alarm: in the exit status of lapsectl status, and as an error in the log. */
enum finding_grade {
    FINDING_ALARM,   /* at once */
    FINDING_PATIENT, /* when it has stood for survey.alarm_after: what is undecidable may yet be put right */
    FINDING_NOTE,    /* never: known and listed, because what the database does by itself is in no plan */
    FINDING_ADVICE,  /* never: it is told by lapsectl check alone, and kept nowhere */
};

/* Something a person should look at: kept in status and findings, and a journal entry. No personal data in it. */
struct finding {
    enum finding_grade grade;
    const char *code;  /* "tenant-undecidable", "period-unreadable", "period-below-min", "since-empty", … */
    const char *rule;  /* NULL: no rule's */
    const char *store; /* NULL: no store's */
    const char *place; /* target or column; NULL */
    const char *tenant; /* NULL: several or none */
    int64_t count;
    const char *text;  /* for people; lower case, may name tenants' ids but no values */
};

struct plan {
    int64_t now_us;
    const struct order *orders; /* in the sequence of the sweep: by store kind (MongoDB, PostgreSQL, Redis), own records last */
    size_t n_orders;
    const struct order *held; /* what would be due without the holds: to be counted, never to be carried out */
    size_t n_held;
    const struct finding *findings;
    size_t n_findings;
    const char *const *notes; /* for people: of periods that were shortened, while the longer ones still count */
    size_t n_notes;
};

/* Everything is taken from `arena`, and schedule, tenants and history must outlive the plan. own_tables: tables that the
 * tenants query reads, as the tenants' store names them ("schema.table" and "table" both match). holds: those in force, NULL: none; copied. */
struct plan *plan_make(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                       const struct history *history, const char *const *own_tables, size_t n_own_tables,
                       const struct holds *holds, int64_t now_us);

/* The orders of one rule alone, as of `now`: a sweep's, when only what was due at an earlier time may go. Without findings and notes. */
struct plan *plan_make_rule(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                            const struct history *history, const char *const *own_tables, size_t n_own_tables,
                            const struct holds *holds, const struct rule *rule, int64_t now_us);

/* The order for this tenant alone; NULL: it has nothing under it. Whoever is protected stays named, with nothing due: an id may be spelled in
 * two ways, and a key be read as one's or the other's. */
const struct order *plan_narrow(struct arena *arena, const struct order *order, const char *tenant);

/* True if some of the rule's records go by an end of their tenant: those of a tenant that nobody knows never do. */
bool plan_is_bound(const struct rule *rule);

/* True if the target's table is one that the tenants query reads. */
bool plan_is_own(const struct schedule *schedule, const struct target *target, const char *const *own_tables, size_t n_own_tables);

/* The targets with records bound to an end of their tenant, due or not, but for the tenant's own: what must be empty
 * before those go. Fills ret_targets (room for schedule->n_targets) and returns how many. */
size_t plan_bound_targets(const struct schedule *schedule, const char *const *own_tables, size_t n_own_tables,
                          const struct target **ret_targets);

#endif
