/* What the daemon does, for people and machines: <run>/status.json and beside it <run>/lapsed.prom (Prometheus textfile), and
 * the findings of the last sweep in <state>/findings.json, which are there while the daemon is not. Written whole and
 * renamed, never synced: nothing depends on them. */
#ifndef LAPSED_SWEEP_STATUS_H
#define LAPSED_SWEEP_STATUS_H

#include "sweep/sweep.h"

/* A rule's figures after its last sweep. */
struct status_rule {
    const char *data; /* the schedule's */
    int64_t purged, anonymized, dependents, blocked, undecidable, left, lag_us;
    int64_t last_success_us; /* a sweep that left nothing due: 0 = none since the start */
};

struct status_store {
    const char *name;
    bool down;
    char error[256];
    int64_t since_us;
};

struct status {
    const char *state; /* "idle", "sweeping", "waiting", "paused", "stopping" */
    char reason[512];
    int64_t since_us, next_sweep_us;
    const char *schedule_sha256;
    int64_t last_sweep, last_began_us, last_ended_us; /* 0: none since the start */
    bool last_ended_early;
    struct status_rule *rules;
    size_t n_rules;
    struct status_store *stores;
    size_t n_stores;
    char *findings; /* a JSON array, malloc'ed; NULL: never swept */
    int64_t n_findings;
    int64_t n_holds;
};

void status_reset(struct status *status, const struct schedule *schedule, int64_t now_us); /* a schedule came into force */
void status_free(struct status *status);
void status_note(struct status *status, const struct sweep_report *report);
/* Writes status.json and lapsed.prom. */
int status_write(const struct status *status, const char *run_folder, struct err *err) MUST_CHECK;
int status_write_findings(const struct status *status, const char *state_folder, struct err *err) MUST_CHECK;

#endif
