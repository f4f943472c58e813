/* What the user may do and the schedule does not need. A user with no more than it needs may not even ask: what it is refused is
 * the answer. Nothing is written. */
#include "store/redis_internal.h"

#include <openssl/rand.h>

/* May it run this? Anything but NOPERM means yes. */
static int is_permitted(struct redis_store *store, const struct redis_command *command, bool *ret_permitted, struct err *err) {
    REDIS_REPLY reply = NULL;
    if (redis_connect(store, err) < 0 || redis_send(store, command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    *ret_permitted = !redis_is_error(reply, "NOPERM");
    return 0;
}

/* Commands that administer the server; these only look. */
static int may_administer(struct redis_store *store, struct arena *arena, bool *ret_permitted, struct err *err) {
    struct redis_command command = {.arena = arena};
    redis_word(&command, "CONFIG");
    redis_word(&command, "GET");
    redis_word(&command, "maxmemory");
    return is_permitted(store, &command, ret_permitted, err);
}

/* A key that nobody has and no pattern names: the right to look at it is a right to all keys. */
static int may_reach_all_keys(struct redis_store *store, struct arena *arena, bool *ret_permitted, struct err *err) {
    unsigned char random[32];
    char nonce[65];
    if (RAND_bytes(random, sizeof random) != 1) return err_set(err, ERR_IO, "no random bytes can be had");
    text_hex(nonce, random);
    struct redis_command command = {.arena = arena};
    redis_word(&command, "TYPE");
    redis_word(&command, nonce);
    return is_permitted(store, &command, ret_permitted, err);
}

/* A pattern of the schedule lets every key through. */
static bool needs_all_keys(const struct redis_store *store) {
    const struct schedule *schedule = store->base.settings.schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct redis_bound *bound = redis_bound_of(store, schedule->targets[i]);
        if (bound && bound->pattern.glob && bound->pattern.glob[0] == '*') return true;
    }
    return false;
}

int redis_wide(struct redis_store *store, struct arena *arena, const char **ret_text, struct err *err) {
    bool administer = false, all_keys = false;
    *ret_text = NULL;
    if (may_administer(store, arena, &administer, err) < 0) return -1;
    if (!needs_all_keys(store) && may_reach_all_keys(store, arena, &all_keys, err) < 0) return -1;
    if (administer)
        *ret_text = "its user may administer the server (+@all, or +@admin); give it what lapsectl grants prints, and no more";
    else if (all_keys)
        *ret_text = "its user may reach all keys (~*); give it the patterns that lapsectl grants prints, and no more";
    return 0;
}
