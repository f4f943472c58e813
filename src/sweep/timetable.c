#include "sweep/timetable.h"

#include "base/time.h"

#include <stdlib.h>

static const int64_t FIRST_RETRY_US = 60 * TIME_SECOND_US;

static bool in_window(const struct settings *settings, int64_t now_us) {
    int from = settings->window_from_minute, to = settings->window_to_minute;
    if (from == to) return true;
    struct civil now = time_to_civil(now_us);
    int minute = now.hour * 60 + now.minute;
    return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

static int64_t next_window(const struct settings *settings, int64_t after_us) {
    if (in_window(settings, after_us)) return after_us;
    int64_t opening = time_day_of(after_us) * TIME_DAY_US + settings->window_from_minute * 60 * TIME_SECOND_US;
    return opening >= after_us ? opening : opening + TIME_DAY_US;
}

int64_t timetable_next(const struct timetable *timetable, const struct settings *settings, int64_t now_us) {
    int64_t due_us = timetable->last_begin_us ? timetable->last_begin_us + settings->sweep_every_us : now_us;
    /* A clock that went back must not put off the next sweep for longer than one period. */
    if (due_us > now_us + settings->sweep_every_us) due_us = now_us + settings->sweep_every_us;
    if (timetable->retry_us && timetable->retry_us < due_us) due_us = timetable->retry_us;
    return next_window(settings, due_us > now_us ? due_us : now_us);
}

const char *timetable_trigger(const struct timetable *timetable, int64_t now_us) {
    return timetable->retry_us && timetable->retry_us <= now_us ? "retry" : "timer";
}

void timetable_begin(struct timetable *timetable, int64_t now_us) {
    timetable->retry_us = 0;
    timetable->last_begin_us = now_us;
}

static bool needs_retry(const struct sweep_report *report) {
    bool down = false;
    for (size_t i = 0; i < report->n_stores; i++) down |= report->stores[i].down;
    return report->journal_failed || (down && !report->ended_early);
}

void timetable_end(struct timetable *timetable, const struct settings *settings, const struct sweep_report *report, int64_t now_us) {
    if (report->again && !report->ended_early) timetable->retry_us = now_us;
    if (!needs_retry(report)) {
        timetable->retry_wait_us = 0;
        return;
    }
    int64_t wait_us = timetable->retry_wait_us ? timetable->retry_wait_us * 2 : FIRST_RETRY_US;
    if (wait_us > settings->sweep_every_us) wait_us = settings->sweep_every_us;
    timetable->retry_wait_us = wait_us;
    timetable->retry_us = now_us + wait_us / 2 + random() % (wait_us / 2 + 1);
}
