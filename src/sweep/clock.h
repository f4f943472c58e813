/* Whether the wall clock may be believed. What is due is decided by it alone, so a clock that was set wrong would destroy years
 * at once, or a clock set back let the journal tell things in a wrong sequence. The time since boot (CLOCK_BOOTTIME) goes on
 * whatever anybody sets: the wall clock stepped when the distance between the two changed by more than clock.tolerance, but for
 * what slewing may do. And it is wrong when it lies before the journal's last entry.
 *
 * While it is in doubt a veto stands. It is lifted when the clock is right again, or when a person accepts the time
 * (lapsectl approve --clock). The distance is kept in <state>/clock.json for the same boot, so that a restart is no way around.
 *
 * What is over only after a while (a released hold's cooling-off) goes by a time that is surely not ahead, because it takes effect
 * without a batch that a veto could stop. */
#ifndef LAPSED_SWEEP_CLOCK_H
#define LAPSED_SWEEP_CLOCK_H

#include "journal/entry.h"

struct engine;

struct clock {
    struct engine *engine;
    bool known;         /* offset_us is of something */
    int64_t offset_us;  /* wall clock minus time since boot, as it is believed */
    int64_t looked_us;  /* time since boot of the last look */
    int64_t latest_us;  /* the latest entry in the journal since a time was accepted; 0: none */
    int64_t before_us;  /* the latest one that was there at the start */
    bool agreed;        /* in this boot the stores' clocks agreed with it, or a person accepted it */
    char boot[40];      /* the kernel's id of this boot; "": unknown */
    bool doubted;
    char reason[256];   /* of the doubt */
};

/* Takes each entry that the journal has at the start, in order. */
void clock_seen(struct clock *clock, const struct entry *entry);
/* Reads what an earlier run in this boot believed. A file that cannot be read: nothing is believed yet. */
void clock_start(struct clock *clock, struct engine *engine);
/* True: the clock may be believed. Sets or lifts the veto. */
bool clock_look(struct clock *clock);
/* The decision alone, for these two clocks; NULL: it may be believed, else a code for the journal. */
const char *clock_judge(struct clock *clock, int64_t wall_us, int64_t boot_us, int64_t tolerance_us);
/* The same for what was judged last: the wall clock, but no later than the time that is believed. */
int64_t clock_believed(const struct clock *clock, int64_t wall_us, int64_t boot_us);
/* And while nobody has confirmed it in this boot, no later than the journal's last entry at the start. */
int64_t clock_sure(const struct clock *clock, int64_t wall_us, int64_t boot_us);
/* Both for now; they look at the clock. */
int64_t clock_believed_us(struct clock *clock);
int64_t clock_sure_us(struct clock *clock);
/* A person accepts the present time. */
void clock_accept(struct clock *clock);
/* The stores' clocks agreed with it: keeps what is believed. Not synced: it is of this boot only. */
void clock_keep(struct clock *clock);

#endif
