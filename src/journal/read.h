/* Reading a journal: which entries one is interested in, and every one of them in order. */
#ifndef LAPSED_JOURNAL_READ_H
#define LAPSED_JOURNAL_READ_H

#include "journal/scan.h"

/* All zero: every entry. */
struct journal_filter {
    const char *tenant, *rule, *store; /* entries about it; NULL: any */
    int64_t sweep;                /* 0: any */
    int64_t since_us, until_us;   /* since <= time < until; 0: no bound */
    unsigned events;              /* 1u << enum entry_event, or'ed; 0: any */
};

/* Whether the entry itself says so: an outcome names no tenant, rule or store (its intent does). */
bool journal_matches(const struct journal_filter *filter, const struct entry *entry);
/* Calls `each` for every entry that matches. What it gets lives until it returns. A damaged journal is read as far as its
 * lines are entries: ret_result tells the faults. Fails only when a file cannot be read, or no journal is there. */
int journal_read(const char *folder, const struct journal_filter *filter,
                 void (*each)(void *context, const struct scan_entry *entry), void *context, struct scan_result *ret_result,
                 struct err *err) MUST_CHECK;

#endif
