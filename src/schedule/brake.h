/* Brakes: what is due, but more than anybody would expect, waits for a person. A rule waits before its first run and after it was
 * changed so that it may reach other records, and whenever more records, more tenants or a larger share of a place are due than
 * its last runs explain; everything waits when the list of tenants lost many of those that are running.
 *
 * An approval says that what was due at its time, under the rule as it was written then, may go. What became due since meets the
 * usual brakes.
 *
 * Pure, but for brakes_load and brakes_save: the figures of the last runs are kept in <state>/brakes.json, written by the daemon
 * before a sweep destroys anything, read by lapsectl. */
#ifndef LAPSED_SCHEDULE_BRAKE_H
#define LAPSED_SCHEDULE_BRAKE_H

#include "schedule/rule_digest.h"

/* Of fewer due records a share says nothing. */
enum { BRAKE_LEAST_FOR_SHARE = 100 };

enum brake {
    BRAKE_NONE,
    BRAKE_FIRST_RUN, /* it never ran */
    BRAKE_CHANGED,   /* it ran, but with other places or conditions */
    BRAKE_RECORDS,   /* more records than its last runs explain, or more than can be counted */
    BRAKE_TENANTS,   /* of more tenants */
    BRAKE_SHARE,     /* a larger share of a place */
};

/* What a sweep would do under a rule. */
struct brake_figures {
    int64_t records; /* due and free to go, anonymized or purged; dependents not included */
    int64_t tenants; /* that have something of it */
    int64_t blocked; /* due, and may become free while the sweep runs */
    bool uncounted;  /* there are more: a store could not count them in time */
    int64_t lag_us;  /* for how long the oldest has been due; 0: not known */
    int64_t share;   /* percent of the records of the place that loses the largest share; 0: not known */
    const char *share_place;
};

/* A person's word that what was due then may go. */
struct approval {
    const char *id;     /* of the request */
    const char *digest; /* rule_digest.text, or the list's */
    const char *tenant; /* only this one's; NULL: all */
    const char *rule;   /* its name, for people; NULL: the list of tenants */
    const char *request; /* SHA-256 of the request in hex */
    int64_t at_us;
    uint32_t author;
};

struct approvals {
    const struct approval *items;
    size_t count;
};

/* What a rule has leave to do in one sweep. */
struct leave {
    enum brake brake;   /* BRAKE_NONE: all that is due now may go */
    int64_t as_of_us;   /* with a brake: what was due then may go; TIME_NEVER: nothing but the tenants below */
    const struct approval *tenants; /* with a brake: of these tenants what was due at the approval's time */
    size_t n_tenants;
    int64_t most;       /* more records than this were not counted on: with them the sweep does not go on */
    struct rule_digest digest;
    const char *text;   /* why it waits, whole, with the rule's name; NULL where nothing waits */
    const char *brief;  /* the same in a few words: "due for the first time" */
};

struct brakes;

/* A missing file: no rule ever ran. An unreadable one is an error: nothing is destroyed on a guess. */
int brakes_load(const char *state_folder, struct brakes **ret_brakes, struct err *err) MUST_CHECK;
int brakes_save(const struct brakes *brakes, const char *state_folder, struct err *err) MUST_CHECK;
void brakes_free(struct brakes *brakes); /* NULL is fine */

/* Whether the rule had leave to run with this reach (rule_digest). */
bool brakes_ran(const struct brakes *brakes, const struct rule *rule, const char *reach);
/* Texts and lists are taken from `arena`; approvals may be NULL. */
struct leave brakes_judge(const struct brakes *brakes, struct arena *arena, const struct schedule *schedule, const struct rule *rule,
                          const struct brake_figures *figures, const struct approvals *approvals, int64_t now_us);
/* Notes what was judged: what may go becomes part of the rule's history, what waits is remembered for brakes_waiting. */
void brakes_note(struct brakes *brakes, const struct settings *settings, const struct rule *rule, const struct brake_figures *figures,
                 const struct leave *leave, int64_t now_us);
/* Forgets rules that the schedule does not have. */
void brakes_forget(struct brakes *brakes, const struct schedule *schedule);

/* The list of tenants: `running` = how many of them have an end that has not come, or no ends at all. */
struct list_leave {
    bool waits;
    char digest[65];  /* what approve takes */
    const char *text; /* NULL where it does not wait */
};
struct list_leave brakes_judge_list(const struct brakes *brakes, struct arena *arena, const struct brake_limits *limits, int64_t running,
                                    const struct approvals *approvals);
/* Notes the number: as the one that the next list is compared with or, where it waits, as the one that was refused. */
void brakes_note_list(struct brakes *brakes, const struct list_leave *leave, int64_t running, int64_t now_us);

/* What waited when a sweep last judged it. */
struct waiting {
    const char *rule; /* NULL: the list of tenants, and with it everything */
    const char *text;
    char digest[65];
    int64_t records, tenants, since_us;
};
size_t brakes_waiting(const struct brakes *brakes, struct arena *arena, const struct waiting **ret_items);

#endif
