/* What an approval is for: a rule as it is written now. Two digests of it, each a SHA-256 in hex over its name, its places, its
 * conditions and what is done there, over what other rules keep of the same records at least (at_least), and, where tenants' ends or
 * periods decide, over the tenants query:
 * `reach` without the periods, because a shorter one has its own way of coming into force (notice): it changes when the rule may
 * reach other records than before; `text` with them: what a person approves. The basis is in neither. */
#ifndef LAPSED_SCHEDULE_RULE_DIGEST_H
#define LAPSED_SCHEDULE_RULE_DIGEST_H

#include "schedule/schedule.h"

struct rule_digest {
    char reach[65], text[65];
};

struct rule_digest rule_digest(const struct schedule *schedule, const struct rule *rule);

#endif
