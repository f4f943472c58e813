#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

enum { UNLINK_KEYS = 500, SCRIPT_KEYS = 64 };

/* KEYS[1]; type, lower, upper, most entries of a stream -> {type, how many, the oldest, the last entry's id}. */
const char REDIS_MEMBERS_LOOK[] =
    "local t = redis.call('TYPE', KEYS[1]).ok\n"
    "if t ~= ARGV[1] then return {t, 0, '', ''} end\n"
    "if t == 'zset' then\n"
    "  local first = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, 1)\n"
    "  return {t, redis.call('ZCOUNT', KEYS[1], ARGV[2], ARGV[3]), first[2] or '', ''}\n"
    "end\n"
    "local e = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])\n"
    "if #e == 0 then return {t, 0, '', ''} end\n"
    "return {t, #e, e[1][1], e[#e][1]}";

/* Whole keys whose fields still are what they were when the key was judged due; a missing field must still be missing.
 * KEYS; number of fields, their names, then for each key and field '' or '=' and the value -> how many went. */
static const char UNLINK_IF[] =
    "local gone, n = 0, tonumber(ARGV[1])\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local now = redis.pcall('HMGET', key, unpack(ARGV, 2, n + 1))\n"
    "  local same = not now.err\n"
    "  if now.err and string.sub(now.err, 1, 9) ~= 'WRONGTYPE' then return now end\n"
    "  for j = 1, n do\n"
    "    if same and (now[j] and '=' .. now[j] or '') ~= ARGV[1 + n + (i - 1) * n + j] then same = false end\n"
    "  end\n"
    "  if same then gone = gone + redis.call('UNLINK', key) end\n"
    "end\n"
    "return gone";

/* At most so many of the members or entries that are in the range now. KEYS[1]; type, lower, upper, most, '1' if the key
 * goes with its last entry -> how many went. */
static const char MEMBERS_DESTROY[] =
    "local t, lower, upper, left, gone = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), 0\n"
    "if redis.call('TYPE', KEYS[1]).ok ~= t then return 0 end\n"
    "if t == 'zset' and redis.call('ZCOUNT', KEYS[1], lower, upper) <= left then\n"
    "  return redis.call('ZREMRANGEBYSCORE', KEYS[1], lower, upper)\n"
    "end\n"
    "while left > 0 do\n"
    "  local n, ids = math.min(left, 1000), {}\n"
    "  if t == 'zset' then\n"
    "    ids = redis.call('ZRANGEBYSCORE', KEYS[1], lower, upper, 'LIMIT', 0, n)\n"
    "    if #ids > 0 then gone = gone + redis.call('ZREM', KEYS[1], unpack(ids)) end\n"
    "  else\n"
    "    for i, entry in ipairs(redis.call('XRANGE', KEYS[1], lower, upper, 'COUNT', n)) do ids[i] = entry[1] end\n"
    "    if #ids > 0 and lower == '-' then\n"
    "      gone = gone + redis.call('XTRIM', KEYS[1], 'MINID', '=', ids[#ids]) + redis.call('XDEL', KEYS[1], ids[#ids])\n"
    "    elseif #ids > 0 then gone = gone + redis.call('XDEL', KEYS[1], unpack(ids)) end\n"
    "  end\n"
    "  left = #ids < n and 0 or left - n\n"
    "end\n"
    "if ARGV[5] == '1' and t == 'stream' and redis.call('XLEN', KEYS[1]) == 0 then redis.call('UNLINK', KEYS[1]) end\n"
    "return gone";

/* How many of the items from `at` on one command takes. */
static size_t run_length(const struct redis_item *items, size_t n_items, size_t at) {
    size_t most = items[at].act == REDIS_ACT_UNLINK ? UNLINK_KEYS : items[at].act == REDIS_ACT_UNLINK_IF ? SCRIPT_KEYS : 1;
    size_t length = 1;
    while (length < most && at + length < n_items && items[at + length].act == items[at].act) length++;
    return length;
}

static void add_keys(struct redis_command *command, const struct redis_item *items, size_t count) {
    for (size_t i = 0; i < count; i++) redis_word_n(command, items[i].key, items[i].key_length);
}

void redis_word_was(struct redis_command *command, const struct redis_value *value) {
    char *was = arena_alloc(command->arena, value->length + 2);
    if (value->bytes) {
        was[0] = '=';
        memcpy(was + 1, value->bytes, value->length);
    }
    redis_word_n(command, was, value->bytes ? value->length + 1 : 0);
}

static void add_unlink_if(struct redis_command *command, const struct redis_order *order, const struct redis_item *items, size_t count) {
    redis_words_eval(command, UNLINK_IF, count);
    add_keys(command, items, count);
    redis_word_number(command, (int64_t)order->n_fields);
    for (size_t i = 0; i < order->n_fields; i++) redis_word(command, order->fields[i]);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < items[i].n_values; j++) redis_word_was(command, &items[i].values[j]);
    }
}

static void add_members(struct redis_command *command, const struct redis_order *order, const struct redis_item *item) {
    redis_words_eval(command, MEMBERS_DESTROY, 1);
    add_keys(command, item, 1);
    redis_word(command, order->member_type);
    redis_word(command, item->lower);
    redis_word(command, item->upper);
    redis_word_number(command, item->count);
    redis_word(command, item->everything ? "1" : "0");
}

static int send_run(struct redis_store *store, struct arena *arena, const struct redis_order *order, const struct redis_item *items, size_t count,
                    struct err *err) {
    struct redis_command command = {.arena = arena};
    switch (items->act) {
    case REDIS_ACT_UNLINK:
        redis_word(&command, "UNLINK");
        add_keys(&command, items, count);
        break;
    case REDIS_ACT_UNLINK_IF: add_unlink_if(&command, order, items, count); break;
    case REDIS_ACT_MEMBERS: add_members(&command, order, items); break;
    case REDIS_ACT_WRITE: redis_add_write(&command, order, items, store->base.settings.pseudonym_key); break;
    }
    return redis_send(store, &command, err);
}

/* Adds up the answers to `commands` commands. What went counts even where another command was refused: the refusal comes
 * again with the next batch. */
static int receive_runs(struct redis_store *store, size_t commands, int64_t *ret_gone, struct err *err) {
    int64_t gone = 0;
    bool refused = false;
    for (size_t i = 0; i < commands; i++) {
        REDIS_REPLY reply = NULL;
        if (redis_receive(store, &reply, err) < 0) {
            err->code = ERR_UNKNOWN;
            return -1;
        }
        if (reply->type == REDIS_REPLY_INTEGER) gone += reply->integer;
        else if (!refused) {
            refused = true;
            if (reply->type == REDIS_REPLY_ERROR) (void)redis_refusal(store, reply, err);
            else (void)redis_misshapen(store, "a command that destroys", err);
        }
    }
    if (refused && gone == 0) return -1;
    *ret_gone = gone;
    return 0;
}

int redis_destroy(struct redis_store *store, const struct redis_order *order, const struct redis_item *items, size_t n_items, int64_t *ret_gone,
                  struct err *err) {
    if (redis_connect(store, err) < 0) return -1;
    struct arena *arena = arena_new();
    size_t commands = 0, at = 0;
    int result = 0;
    while (result == 0 && at < n_items) {
        size_t count = run_length(items, n_items, at);
        result = send_run(store, arena, order, items + at, count, err);
        at += count;
        commands++;
    }
    if (result == 0) result = receive_runs(store, commands, ret_gone, err);
    arena_free(arena);
    return result;
}
