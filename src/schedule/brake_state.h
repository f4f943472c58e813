/* What brake.c decides from and brake_state.c keeps in <state>/brakes.json. */
#ifndef LAPSED_SCHEDULE_BRAKE_STATE_H
#define LAPSED_SCHEDULE_BRAKE_STATE_H

#include "schedule/brake.h"

enum { MOST_RUNS = 32 };

/* A run that had something to do. */
struct brake_run {
    int64_t at_us;
    int64_t records, tenants, share;
    int64_t span_us; /* in which it became due */
};

struct brake_rule {
    const char *rule;  /* its name */
    const char *reach; /* digest that ran; "": none */
    int64_t ran_us;    /* when it last had leave; 0: never */
    struct brake_run *runs; /* the oldest first */
    size_t n_runs;
    bool waits;
    struct waiting waiting;
};

struct brakes {
    struct arena *arena;
    struct brake_rule *rules;
    size_t n_rules;
    int64_t running; /* tenants, in the last list that was good; -1: none was seen */
    int64_t refused; /* in the list that waits; -1: none does */
    struct waiting list; /* what waits of it */
};

#endif
