#include "schedule/tenant_period.h"

enum own_period tenant_period(const struct rule *rule, const struct tenant *tenant, int64_t now_us, struct period *ret_period) {
    const struct per_tenant *per_tenant = rule->per_tenant;
    if (tenant->undecidable_periods & 1U << per_tenant->index) return OWN_PERIOD_UNDECIDABLE;
    const char *text = tenant->periods[per_tenant->index];
    if (!text || !*text) return OWN_PERIOD_NONE;
    struct period period;
    struct err ignored;
    if (period_parse(text, &period, &ignored)) return OWN_PERIOD_UNDECIDABLE;
    if (per_tenant->min.count && period_compare(now_us, period, per_tenant->min) < 0) {
        *ret_period = per_tenant->min;
        return OWN_PERIOD_BELOW_MIN;
    }
    if (per_tenant->max.count && period_compare(now_us, period, per_tenant->max) > 0) {
        *ret_period = per_tenant->max;
        return OWN_PERIOD_ABOVE_MAX;
    }
    *ret_period = period;
    return OWN_PERIOD_SET;
}
