#include "command/ask.h"

#include "base/text.h"
#include "base/time.h"
#include "command/daemon_state.h"
#include "command/table.h"
#include "request/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const int64_t patience_us = 30 * TIME_SECOND_US;

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void free_json(json_t **json) { json_decref(*json); }

/* ---- a request and its answer ---- */

/* "hold-3f9a21c4". */
static const char *new_id(struct arena *arena, enum request_kind kind) {
    uint32_t number;
    while (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        if (errno != EINTR) abort();
    return arena_printf(arena, "%s-%08x", request_kind_name(kind), number);
}

static void print_answer(const struct invocation *invocation, const char *id, const char *outcome, const char *text) {
    __attribute__((cleanup(free_json))) json_t *object = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "id", id, "outcome", outcome, "text", text);
    if (invocation->json) {
        (void)json_dumpf(object, invocation->out, JSON_INDENT(2));
        (void)fputc('\n', invocation->out);
    } else {
        (void)fprintf(invocation->out, "%s\n", text);
    }
}

static int tell_answer(const struct invocation *invocation, struct arena *arena, const char *id, const char *answer, bool final) {
    __attribute__((cleanup(free_json))) json_t *object = answer ? json_loads(answer, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *outcome = json_text(object, "outcome", ""), *text = text_printable(arena, json_text(object, "text", ""));
    if (final && text_equal(outcome, "accepted")) {
        print_answer(invocation, id, "accepted", text);
        return EXIT_WELL;
    }
    if (final && text_equal(outcome, "refused")) return command_fail(invocation, EXIT_REFUSED, "%s", text);
    if (!final && text_equal(outcome, "waits")) {
        print_answer(invocation, id, "waits", text);
        return EXIT_LATER;
    }
    if (final) return command_fail(invocation, EXIT_FILES, "the request \"%s\" was taken, but its answer cannot be read: lapsectl journal show", id);
    print_answer(invocation, id, "unread", arena_printf(arena, "lapsed has not answered yet; the request \"%s\" stays where it is and is read when lapsed gets to it", id));
    return EXIT_LATER;
}

int ask_daemon(const struct invocation *invocation, const struct request *request, const char *id) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(daemon_state_free))) struct daemon_state state = {0};
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    struct err err;
    int status = command_load(invocation, true, &schedule);
    if (status) return status;
    if (id && !request_is_id(id)) return command_fail(invocation, EXIT_USAGE, "--id \"%s\" is no id; write a-z, 0-9, \"-\", \"_\" and \".\", at most 64", id);
    if (!id) id = new_id(arena, request->kind);
    const char *misfit = request_misfit(request, schedule);
    if (misfit) return command_fail(invocation, EXIT_REFUSED, "%s", request_refusal_text(misfit));
    const char *folder = schedule->settings.state_folder;
    request_write(request, &text);
    if (daemon_state_read(schedule, &state, &err) || spool_submit(folder, id, buf_text(&text), &err)) return command_fail_err(invocation, &err);
    if (!state.running) {
        print_answer(invocation, id, "unread", arena_printf(arena, "lapsed is not running; the request \"%s\" is left for it and read when it starts, before it destroys anything", id));
        return EXIT_LATER;
    }
    const char *answer = NULL;
    bool final = false;
    if (spool_wait(folder, id, patience_us, arena, &answer, &final, &err)) return command_fail_err(invocation, &err);
    return tell_answer(invocation, arena, id, answer, final);
}
