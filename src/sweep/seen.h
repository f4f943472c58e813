/* What sweeps have seen, over restarts: since when each finding stands (<state>/findings.json) and when each rule last
 * succeeded (<state>/rules.json). Nothing is destroyed by it: where a file is lost, its times begin anew. */
#ifndef LAPSED_SWEEP_SEEN_H
#define LAPSED_SWEEP_SEEN_H

#include "schedule/plan.h"

struct seen;

/* A rule's success is a sweep that left nothing due. */
struct seen_rule {
    int64_t since_us;   /* in force since */
    int64_t success_us; /* 0: none yet */
    int64_t failures;   /* sweeps since then that left something due, or could not tell */
};

/* Files that cannot be read are logged and left out. */
struct seen *seen_load(const char *state_folder);
void seen_free(struct seen *seen); /* NULL is fine */
/* When this finding was first seen; TIME_FOREVER: it is new. */
int64_t seen_finding(const struct seen *seen, const struct finding *finding);
/* From now on these findings stand, in the form that findings.json has. */
void seen_findings(struct seen *seen, const char *json);
/* The rule by its name, added with now_us if it is new. Valid until the next one is added. */
struct seen_rule *seen_rule(struct seen *seen, const char *name, int64_t now_us);
/* Writes rules.json with the rules of this schedule. */
int seen_save(const struct seen *seen, const struct schedule *schedule, const char *state_folder, struct err *err) MUST_CHECK;

#endif
