/* The survey: what a person should look at though nothing is wrong with a sweep. Every survey.every, at the end of a sweep,
 * each store is asked what its catalog shows and, target by target, which records no rule can decide. It has a budget of
 * its own (survey.budget a store and sweep): when that is spent, the next sweep goes on with the targets that are left. A
 * single question takes at most timeout.statement; what is too large for that is answered from a sample, and says so. What
 * was found stands until the same question is answered anew. */
#ifndef LAPSED_SWEEP_SURVEY_H
#define LAPSED_SWEEP_SURVEY_H

#include "schedule/plan.h"

/* The answer to one question. */
struct standing {
    struct arena *arena; /* NULL: not asked yet */
    const struct finding *findings;
    size_t n_findings;
    int64_t records; /* undecidable ones */
    int64_t sweep;   /* that asked it */
};

struct survey {
    struct standing *catalogs; /* by store index */
    struct standing *targets;  /* by target.number */
    bool *due;                 /* by target.number: still to be asked in this round */
    int64_t round_us;          /* when the present round began; 0: none has */
    size_t n_due;
};

void survey_open(struct survey *survey, const struct schedule *schedule);
void survey_close(struct survey *survey, const struct schedule *schedule);
/* A round is begun when its time has come; returns whether there is anything to ask. */
bool survey_is_due(struct survey *survey, const struct schedule *schedule, int64_t now_us);

struct site;
struct sweep;
/* On the loop: asks this store, one job after the other, then calls sweep_site_over. */
void survey_site(struct site *site);
/* Adds what stands to the sweep's findings and figures: what this sweep found itself (fresh), or the rest. */
void survey_report(struct sweep *sweep, bool fresh);

#endif
