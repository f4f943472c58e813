/* Coverage: every place that holds tenants' records is a target or stands under `exempt` with a reason. Each store looks
 * for such places in its own way; what the schedule says of them is asked here. */
#ifndef LAPSED_SCHEDULE_COVER_H
#define LAPSED_SCHEDULE_COVER_H

#include "schedule/schedule.h"

/* Is this the name of a column or field that holds a tenant's id, by the names that the targets use? Letter case and
 * underscores do not count: "customer_id" and "customerId" are one name. */
bool cover_is_tenant_name(const struct schedule *schedule, const char *name);
/* The exemption that this table, collection or key stands under; NULL: none. */
const struct exemption *cover_exemption(const struct schedule *schedule, const struct store_conf *store, enum target_kind kind, const char *name,
                                        size_t length);

#endif
