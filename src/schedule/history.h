/* The periods that were in force: a shortened period, of a rule or of one tenant, counts only when it has been in force
 * for `notice`; until then the longest period of that time counts. A tenant that is gone keeps its last known periods.
 * Kept as JSON in <state>/periods.json; written by the daemon before a sweep destroys anything, read by lapsectl. */
#ifndef LAPSED_SCHEDULE_HISTORY_H
#define LAPSED_SCHEDULE_HISTORY_H

#include "schedule/tenants.h"

struct history;

enum keep_slot { SLOT_KEEP, SLOT_ANONYMIZE };

/* A missing file is an empty history; an unreadable one is an error (nothing is destroyed on a guess). */
int history_load(const char *state_folder, struct history **ret_history, struct err *err) MUST_CHECK;
void history_free(struct history *history); /* NULL is fine */
/* Notes what is in force at `now`: every rule's keep and anonymize, and every tenant's own periods that differ from the
 * rule's. Forgets what has been out of force for longer than notice. */
void history_note(struct history *history, const struct schedule *schedule, const struct tenants *tenants, int64_t now_us);
int history_save(const struct history *history, const char *state_folder, struct err *err) MUST_CHECK;

/* The period that counts now for this alternative of the rule (index in rule.keep, or in rule.anonymize), for every
 * tenant without one of its own: the longest that was in force within `notice`. */
struct period history_period(const struct history *history, const struct schedule *schedule, const struct rule *rule,
                             enum keep_slot slot, size_t index, int64_t now_us);
/* The longest of a tenant's own periods that still counts for this rule (rule.per_tenant), or count 0 if there is none.
 * `present` = the tenant is in the list today. */
struct period history_tenant_period(const struct history *history, const struct schedule *schedule, const struct rule *rule,
                                    const char *tenant, bool present, int64_t now_us);
/* Calls `each` for every tenant id that has a period of its own for this rule in the history. */
void history_each_tenant(const struct history *history, const struct rule *rule, void (*each)(void *context, const char *tenant),
                         void *context);

#endif
