/* What the journal's entries say, in sentences for people. */
#ifndef LAPSED_JOURNAL_SENTENCE_H
#define LAPSED_JOURNAL_SENTENCE_H

#include "journal/entry.h"

/* A batch: its intent, all parts of it, and the last outcome there is. */
struct batch_story {
    int64_t time_us, sweep, batch;
    char *rule, *target, *from, *period; /* period: the rule's own, from the schedule; from and period may be NULL */
    char *tenant;                  /* the only one; "" where there is none */
    size_t n_tenants;
    int64_t earliest_us, latest_us; /* of the tenants' cutoffs */
    int64_t records, dependents;   /* the outcome's, once there is one */
    int64_t listed;                /* the intent's records */
    bool anonymize, range;
    char outcome[16], result[16];  /* "": none yet */
    char code[16], detail[16];
};

/* period: the rule's, or NULL where no schedule entry tells it. */
struct batch_story *batch_story_new(const struct entry *intent, const char *period);
void batch_story_add_part(struct batch_story *story, const struct entry *intent);
void batch_story_end(struct batch_story *story, const struct entry *outcome);
bool batch_story_is_final(const struct batch_story *story);
void batch_story_free(struct batch_story *story);

/* `purged 1,000 invoices of tenant 1042 under "Billing Records" (7 years, issued before 2019-11-23)  committed` */
void batch_story_tell(const struct batch_story *story, struct buf *to);
/* Any other entry; an outcome as the news of a batch that was told before. */
void sentence_tell(const struct entry *entry, struct buf *to);

#endif
