/* The journal as people read it: one sentence an entry, an intent and its outcome being one. */
#ifndef LAPSED_JOURNAL_SHOW_H
#define LAPSED_JOURNAL_SHOW_H

#include "journal/read.h"

struct journal_show {
    struct journal_filter filter;
    bool raw; /* the lines themselves instead of sentences */
    /* Called for each sentence (or line, without its line feed), in the order of the entries. */
    void (*tell)(void *context, int64_t time_us, const char *text);
    void *context;
};

/* An outcome belongs to its intent: it is shown where that is. As journal_read otherwise. */
int journal_show(const char *folder, const struct journal_show *show, struct scan_result *ret_result, struct err *err) MUST_CHECK;

#endif
