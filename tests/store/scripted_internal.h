/* What scripted.c (the server and its script) and scripted_driver.c (the driver) share. */
#ifndef LAPSED_TESTS_SCRIPTED_INTERNAL_H
#define LAPSED_TESTS_SCRIPTED_INTERNAL_H

#include "scripted.h"

enum { MOST_SCRIPTED_BATCHES = 100000 };

struct scripted_record {
    char *target, *tenant;
    int number;
    int64_t anchor_us;
    const char *blocked_by;
    bool gone, anonymized;
    const struct store *locked; /* by a prepared batch of this store */
};

struct scripted_line {
    char *id;
    int64_t ends[MOST_ENDS];
    bool gone;
};

struct scripted_server {
    struct scripted_record *records;
    size_t n_records;
    struct scripted_line *lines;
    size_t n_lines;
    const char *const *own_tables;
    size_t n_own_tables;
    int64_t ahead_us;
    bool irrevocable;
    int64_t evidence_us;
    unsigned n_batches;
    unsigned parts;
    struct pressure pressure;
    char settled[MOST_SCRIPTED_BATCHES]; /* by batch: 'c' committed, 'r' rolled back, 0 neither */
};

/* The one server; only between scripted_enter and scripted_leave. */
struct scripted_server *scripted_server(void);
void scripted_enter(void);
void scripted_leave(void);
/* The beginning of every verb: counts the call, blocks if the script says so, fails if the script says so. *interrupted
 * ends the waiting. *ret_applied: a commit that fails is applied all the same. The server is entered for the caller
 * whatever the result. */
int scripted_call(const char *store, enum scripted_verb verb, const bool *interrupted, bool *ret_applied, struct err *err) MUST_CHECK;
void scripted_wake(void); /* after *interrupted was set */

#endif
