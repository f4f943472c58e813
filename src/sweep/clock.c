#include "sweep/clock.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/engine.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_BYTES = 4096 };
/* Slewing changes the distance by at most 500 millionths (adjtimex, chrony); a kernel's own error is below that. */
static const int64_t slew_divisor = 1000;

static int64_t boot_time_us(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_BOOTTIME, &now)) abort();
    return (int64_t)now.tv_sec * TIME_SECOND_US + now.tv_nsec / 1000;
}

static int64_t distance(int64_t a, int64_t b) { return a > b ? a - b : b - a; }

/* ---- the decision ---- */

void clock_seen(struct clock *clock, const struct entry *entry) {
    if (entry->event == ENTRY_CLOCK || entry->time_us > clock->latest_us) clock->latest_us = entry->time_us;
}

static void believe(struct clock *clock, int64_t wall_us, int64_t boot_us) {
    clock->known = true;
    clock->offset_us = wall_us - boot_us;
    clock->looked_us = boot_us;
}

/* What is believed follows the clock as fast as slewing may be. */
static void follow(struct clock *clock, int64_t offset_us, int64_t boot_us) {
    int64_t most_us = boot_us > clock->looked_us ? (boot_us - clock->looked_us) / slew_divisor : 0;
    int64_t change_us = offset_us - clock->offset_us;
    clock->offset_us += change_us > most_us ? most_us : change_us < -most_us ? -most_us : change_us;
    clock->looked_us = boot_us;
}

const char *clock_judge(struct clock *clock, int64_t wall_us, int64_t boot_us, int64_t tolerance_us) {
    if (!clock->known) believe(clock, wall_us, boot_us);
    int64_t offset_us = wall_us - boot_us;
    follow(clock, offset_us, boot_us);
    int64_t apart_us = distance(offset_us, clock->offset_us);
    const char *code = NULL;
    if (wall_us + tolerance_us < clock->latest_us) {
        code = "clock-before-journal";
        (void)snprintf(clock->reason, sizeof clock->reason,
                       "the clock says %.19sZ, but the journal's last entry is of %.19sZ; nothing is destroyed until the clock is past it, or \"lapsectl approve --clock\"",
                       time_format(wall_us).text, time_format(clock->latest_us).text);
    } else if (apart_us > tolerance_us) {
        code = "clock-stepped";
        (void)snprintf(clock->reason, sizeof clock->reason,
                       "the clock was set %s %s; nothing is destroyed until it is set back, or \"lapsectl approve --clock\" accepts that it is %.19sZ now",
                       offset_us > clock->offset_us ? "forward by" : "back by", time_format_span(apart_us).text, time_format(wall_us).text);
    } else if (wall_us > clock->latest_us) {
        clock->latest_us = wall_us;
    }
    return code;
}

int64_t clock_believed(const struct clock *clock, int64_t wall_us, int64_t boot_us) {
    int64_t believed_us = clock->offset_us + boot_us;
    return clock->doubted && believed_us < wall_us ? believed_us : wall_us;
}

int64_t clock_sure(const struct clock *clock, int64_t wall_us, int64_t boot_us) {
    int64_t believed_us = clock_believed(clock, wall_us, boot_us);
    return clock->agreed || believed_us < clock->before_us ? believed_us : clock->before_us;
}

/* ---- the veto ---- */

bool clock_look(struct clock *clock) {
    const char *code = clock_judge(clock, time_now_us(), boot_time_us(), clock->engine->schedule->settings.clock_tolerance_us);
    if (code) {
        if (!clock->doubted) log_error("%s", clock->reason);
        veto_set(clock->engine, VETO_CLOCK, NULL, code, clock->reason);
    } else {
        if (clock->doubted) log_notice("the clock is no longer in doubt");
        veto_lift(clock->engine, VETO_CLOCK, NULL);
    }
    clock->doubted = code != NULL;
    return !code;
}

int64_t clock_believed_us(struct clock *clock) {
    (void)clock_look(clock);
    return clock_believed(clock, time_now_us(), boot_time_us());
}

int64_t clock_sure_us(struct clock *clock) {
    (void)clock_look(clock);
    return clock_sure(clock, time_now_us(), boot_time_us());
}

void clock_accept(struct clock *clock) {
    int64_t now_us = time_now_us();
    believe(clock, now_us, boot_time_us());
    clock->latest_us = now_us;
    clock_keep(clock);
    (void)clock_look(clock);
}

/* ---- what outlives a restart ---- */

static void read_boot(struct clock *clock) {
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    clock->boot[0] = '\0';
    if (!file) return;
    if (!fgets(clock->boot, sizeof clock->boot, file)) clock->boot[0] = '\0';
    clock->boot[strcspn(clock->boot, "\n")] = '\0';
    (void)fclose(file);
}

static void path_of(const struct clock *clock, struct buf *to) {
    buf_printf(to, "%s/clock.json", clock->engine->schedule->settings.state_folder);
}

void clock_keep(struct clock *clock) {
    __attribute__((cleanup(buf_free))) struct buf path = {0}, json = {0};
    struct err err;
    clock->agreed = true;
    if (!*clock->boot || !clock->known) return;
    path_of(clock, &path);
    buf_printf(&json, "{\"v\":1,\"boot\":\"%s\",\"offset_us\":%" PRId64 ",\"looked_us\":%" PRId64 "}\n", clock->boot, clock->offset_us, clock->looked_us);
    if (text_replace_file(buf_text(&path), buf_text(&json), json.length, 0640, &err)) log_warning("%s, a restart does not see that the clock was set", err.text);
}

static void free_text(char **text) { free(*text); }
static void free_json(json_t **json) { json_decref(*json); }

void clock_start(struct clock *clock, struct engine *engine) {
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    __attribute__((cleanup(free_json))) json_t *root = NULL;
    size_t length;
    struct err ignored;
    const char *boot;
    json_int_t version, offset, looked;
    clock->engine = engine;
    clock->before_us = clock->latest_us;
    read_boot(clock);
    path_of(clock, &path);
    if (text_read_file(buf_text(&path), MOST_BYTES, &bytes, &length, &ignored)) return;
    root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    if (!root || json_unpack(root, "{s:I, s:s, s:I, s:I !}", "v", &version, "boot", &boot, "offset_us", &offset, "looked_us", &looked) ||
        version != 1 || !*clock->boot || strcmp(boot, clock->boot) != 0)
        return;
    clock->known = clock->agreed = true;
    clock->offset_us = offset;
    clock->looked_us = looked;
}
