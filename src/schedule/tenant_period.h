/* What one tenant's own period for a rule is: the text of its column, read and kept within the rule's bounds. Pure. */
#ifndef LAPSED_SCHEDULE_TENANT_PERIOD_H
#define LAPSED_SCHEDULE_TENANT_PERIOD_H

#include "schedule/tenants.h"

enum own_period {
    OWN_PERIOD_NONE,        /* not set: the rule's period holds */
    OWN_PERIOD_SET,
    OWN_PERIOD_BELOW_MIN,   /* set to the minimum instead */
    OWN_PERIOD_ABOVE_MAX,   /* set to the maximum instead */
    OWN_PERIOD_UNDECIDABLE, /* not readable, or different on several lines: nothing of this tenant is due */
};

/* rule->per_tenant must be set. *ret_period is filled for SET, BELOW_MIN and ABOVE_MAX. */
enum own_period tenant_period(const struct rule *rule, const struct tenant *tenant, int64_t now_us, struct period *ret_period);

#endif
