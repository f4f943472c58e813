#include "command/daemon_state.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

static void free_text(char **text) { free(*text); }

/* The process id in the lock file; 0: none there, or it cannot be read as one. */
static pid_t pid_in(int file) {
    char text[32] = "";
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    if (length <= 0) return 0;
    char *end;
    long pid = strtol(text, &end, 10);
    bool whole = end != text && (!*end || *end == '\n');
    return whole && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static bool is_alive(pid_t pid) { return !kill(pid, 0) || errno == EPERM; }

/* The lock is tried only where the process it names is alive: a daemon that is just starting must not find it taken by
 * somebody who only looks. */
static int read_lock(const char *folder, struct daemon_state *state, struct err *err) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (file < 0) return err_set_errno(err, errno, "cannot open \"%s\" (try as root, or as the daemon's user)", path);
    pid_t pid = pid_in(file);
    state->running = pid && is_alive(pid) && flock(file, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    state->pid = state->running ? pid : 0;
    (void)close(file);
    return 0;
}

/* *ret_json = NULL where there is no such file. */
static int read_json(const char *folder, const char *name, json_t **ret_json, struct err *err) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    *ret_json = NULL;
    if (access(path, F_OK) && errno == ENOENT) return 0;
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    size_t length;
    if (text_read_file(path, MOST_BYTES, &bytes, &length, err)) return -1;
    *ret_json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
    if (!*ret_json) return err_set(err, ERR_IO, "\"%s\" is not JSON; lapsed writes it anew at its next sweep", path);
    return 0;
}

static int read_status(const char *folder, struct daemon_state *state, struct err *err) {
    if (read_json(folder, "status.json", &state->status, err)) return -1;
    if (!state->status || json_number(state->status, "v", 0) == 1) return 0;
    return err_set(err, ERR_IO, "\"%s/status.json\" was not written by this version of lapsed", folder);
}

static int read_findings(const char *folder, struct daemon_state *state, struct err *err) {
    json_t *present = daemon_state_is_current(state) ? json_object_get(state->status, "findings") : NULL;
    if (json_is_array(present)) {
        state->findings = json_incref(present);
        return 0;
    }
    if (read_json(folder, "findings.json", &state->findings, err)) return -1;
    if (!state->findings || json_is_array(state->findings)) return 0;
    return err_set(err, ERR_IO, "\"%s/findings.json\" is not a list of findings", folder);
}

int daemon_state_read(const struct schedule *schedule, struct daemon_state *ret_state, struct err *err) {
    struct daemon_state state = {0};
    const struct settings *settings = &schedule->settings;
    if (read_lock(settings->journal_folder, &state, err) || read_status(settings->run_folder, &state, err) ||
        read_findings(settings->state_folder, &state, err)) {
        daemon_state_free(&state);
        return -1;
    }
    *ret_state = state;
    return 0;
}

void daemon_state_free(struct daemon_state *state) {
    json_decref(state->status);
    json_decref(state->findings);
    state->status = state->findings = NULL;
}

bool daemon_state_is_current(const struct daemon_state *state) {
    return state->running && state->status && json_number(state->status, "pid", 0) == state->pid;
}

const char *json_text(const json_t *object, const char *name, const char *fallback) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : fallback;
}

int64_t json_number(const json_t *object, const char *name, int64_t fallback) {
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}
