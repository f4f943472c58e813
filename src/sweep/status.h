/* What the daemon does, for people and machines: <run>/status.json and beside it <run>/lapsed.prom (Prometheus textfile), and
 * in the state folder what sweeps have seen (seen.h), which is there while the daemon is not. Written whole and
 * renamed, never synced: nothing depends on them. */
#ifndef LAPSED_SWEEP_STATUS_H
#define LAPSED_SWEEP_STATUS_H

#include "sweep/seen.h"
#include "sweep/sweep.h"

/* A rule's figures after its last sweep. */
struct status_rule {
    const char *data; /* the schedule's */
    int64_t purged, anonymized, dependents, blocked, undecidable, left, lag_us;
    int64_t oldest_due_us;   /* since when the oldest record has been due that is still there; 0: none is known */
    int64_t last_success_us; /* a sweep that left nothing due: 0 = none yet */
    bool late;               /* no success for longer than two sweeps */
    char *waits;             /* what is due and still there, and why: a JSON array, malloc'ed; NULL: never swept */
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
    const char *last_outcome;
    struct status_rule *rules;
    size_t n_rules;
    struct status_store *stores;
    size_t n_stores;
    char *findings; /* a JSON array, malloc'ed; NULL: never swept */
    int64_t n_findings, n_alarms; /* alarms: as of the last sweep's end */
    int64_t n_holds;
    char *waiting; /* for an approval: a JSON array, malloc'ed; NULL: never swept */
    int64_t n_waiting;
    char *notes;   /* a JSON array of texts, likewise */
    struct seen *seen; /* what outlives a restart */
};

/* A schedule came into force; what is in its state folder is read the first time. */
void status_reset(struct status *status, const struct schedule *schedule, int64_t now_us);
void status_free(struct status *status);
/* Logs what became an alarm: findings that are new or have stood for survey.alarm_after, rules without success. */
void status_note(struct status *status, const struct settings *settings, const struct sweep_report *report);
/* Writes status.json and lapsed.prom. */
int status_write(const struct status *status, const char *run_folder, struct err *err) MUST_CHECK;
/* Writes findings.json and rules.json. */
int status_keep(const struct status *status, const struct schedule *schedule, struct err *err) MUST_CHECK;

#endif
