/* Before anything is destroyed: what is due is counted, judged by the brakes, and written down; then the sweep knows which orders
 * it may carry out. Part of the sweep, on its loop. */
#ifndef LAPSED_SWEEP_LEAVE_H
#define LAPSED_SWEEP_LEAVE_H

#include "sweep/sweep_internal.h"

/* The list of tenants, when it was read. False: it waits for an approval, and nothing is destroyed in this sweep. */
bool leave_judge_list(struct sweep *sweep);
/* Every rule, when the lanes have counted: fills sweep->leaves and sweep->orders. */
void leave_judge(struct sweep *sweep);
/* Writes the state down, and calls `done` when it is; sweep->stopping if it could not be. */
void leave_save(struct sweep *sweep, void (*done)(struct sweep *sweep));
/* A sweep went to its end: the approvals that it carried out. */
void leave_report(struct sweep *sweep);
/* Why due records of the rule are still there, if a brake is the reason; else NULL. */
const char *leave_why(const struct sweep *sweep, const struct rule *rule);
/* With so many more, more would go than were due when the sweep began, and than need no history: reports it. */
bool leave_is_exceeded(struct sweep *sweep, const struct rule *rule, int64_t records);
/* So many may have gone, though nobody can tell. */
void leave_take(struct sweep *sweep, const struct rule *rule, int64_t records);
/* All that is due now may go; true also before anything was judged. */
bool leave_is_free(const struct sweep *sweep, const struct rule *rule);

#endif
