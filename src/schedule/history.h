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
 * rule's. A rule that was known before and gains an alternative was "forever" there until now. Forgets what has been out of
 * force for longer than notice, but for tenants that are gone. */
void history_note(struct history *history, const struct schedule *schedule, const struct tenants *tenants, int64_t now_us);
int history_save(const struct history *history, const char *state_folder, struct err *err) MUST_CHECK;

/* The period of an alternative of rule.keep or rule.anonymize that counts now, for every tenant without one of its own:
 * the longest that was in force within `notice`. Returns false if that is "forever": nothing is due. */
bool history_period(const struct history *history, const struct schedule *schedule, const struct rule *rule,
                    enum keep_slot slot, const struct keep *keep, int64_t now_us, struct period *ret_period);
/* A longer period that still counts beside the one that is written now. */
struct shortened {
    const char *from; /* "12 months", "forever"; the history's */
    int64_t on_us, until_us;
};
bool history_shortened(const struct history *history, const struct schedule *schedule, const struct rule *rule, enum keep_slot slot,
                       const struct keep *keep, int64_t now_us, struct shortened *ret_shortened);
enum own_history { OWN_HISTORY_NONE, OWN_HISTORY_PERIOD, OWN_HISTORY_FOREVER };

/* The longest of a tenant's own periods that still counts for this rule (rule.per_tenant, which replaces the KEEP_AGE
 * alternative of keep); *ret_period is filled for OWN_HISTORY_PERIOD. `present` = it is in the list today; of one that is
 * gone the longest ever known counts. */
enum own_history history_tenant_period(const struct history *history, const struct schedule *schedule, const struct rule *rule,
                                       const char *tenant, bool present, int64_t now_us, struct period *ret_period);
/* Calls `each` for every tenant that has a period of its own for this rule in the history, sorted by id, each once. */
void history_each_tenant(const struct history *history, const struct rule *rule,
                         void (*each)(void *context, const char *tenant), void *context);

#endif
