#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

/* One command does not keep the server's other users waiting for long, and neither do those that it has before it at a time. */
enum { UNLINK_KEYS = 500, SCRIPT_KEYS = 64, SCRIPT_MEMBERS = 1000, RECORDS_AHEAD = 2000 };

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

/* At most so many of the members or entries that are in the range now. KEYS[1]; type, lower, upper, most (SCRIPT_MEMBERS or fewer),
 * '1' if the key goes with its last entry -> how many went. */
static const char MEMBERS_DESTROY[] =
    "local t, lower, upper, most, gone = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), 0\n"
    "if redis.call('TYPE', KEYS[1]).ok ~= t then return 0 end\n"
    "if t == 'zset' then\n"
    "  if redis.call('ZCOUNT', KEYS[1], lower, upper) <= most then return redis.call('ZREMRANGEBYSCORE', KEYS[1], lower, upper) end\n"
    "  return redis.call('ZREM', KEYS[1], unpack(redis.call('ZRANGEBYSCORE', KEYS[1], lower, upper, 'LIMIT', 0, most)))\n"
    "end\n"
    "local ids = {}\n"
    "for i, entry in ipairs(redis.call('XRANGE', KEYS[1], lower, upper, 'COUNT', most)) do ids[i] = entry[1] end\n"
    "if #ids > 0 and lower == '-' then\n"
    "  gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', ids[#ids]) + redis.call('XDEL', KEYS[1], ids[#ids])\n"
    "elseif #ids > 0 then gone = redis.call('XDEL', KEYS[1], unpack(ids)) end\n"
    "if ARGV[5] == '1' and redis.call('XLEN', KEYS[1]) == 0 then redis.call('UNLINK', KEYS[1]) end\n"
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

static void add_members(struct redis_command *command, const struct redis_order *order, const struct redis_item *item, int64_t most) {
    redis_words_eval(command, MEMBERS_DESTROY, 1);
    add_keys(command, item, 1);
    redis_word(command, order->member_type);
    redis_word(command, item->lower);
    redis_word(command, item->upper);
    redis_word_number(command, most);
    redis_word(command, item->everything ? "1" : "0");
}

/* What was sent and not answered yet, and what the answers said so far. */
struct sending {
    struct redis_store *store;
    const struct redis_order *order;
    struct arena *arena; /* the commands */
    size_t commands;
    int64_t records;
    int64_t gone;
    bool begun, refused;
};

/* What went counts even where another command was refused: the refusal comes again with the next batch. */
static int receive_all(struct sending *sending, struct err *err) {
    for (; sending->commands > 0; sending->commands--) {
        REDIS_REPLY reply = NULL;
        if (redis_receive(sending->store, &reply, err) < 0) {
            err->code = ERR_UNKNOWN;
            return -1;
        }
        if (reply->type == REDIS_REPLY_INTEGER) sending->gone += reply->integer;
        else if (!sending->refused) {
            sending->refused = true;
            if (reply->type == REDIS_REPLY_ERROR) (void)redis_refusal(sending->store, reply, err);
            else (void)redis_misshapen(sending->store, "a command that destroys", err);
        }
    }
    sending->records = 0;
    arena_clear(sending->arena);
    return 0;
}

/* Before a command is made for so many records. */
static int make_room(struct sending *sending, int64_t records, struct err *err) {
    return sending->records + records > RECORDS_AHEAD ? receive_all(sending, err) : 0;
}

static int put(struct sending *sending, const struct redis_command *command, int64_t records, struct err *err) {
    if (redis_send(sending->store, command, err) < 0) {
        if (sending->begun) err->code = ERR_UNKNOWN; /* what was sent before may have been applied */
        return -1;
    }
    sending->begun = true;
    sending->commands++;
    sending->records += records;
    return 0;
}

/* In steps, for a large set would keep everybody waiting. */
static int put_members(struct sending *sending, const struct redis_item *item, struct err *err) {
    for (int64_t left = item->count; left > 0; left -= SCRIPT_MEMBERS) {
        int64_t most = left < SCRIPT_MEMBERS ? left : SCRIPT_MEMBERS;
        if (make_room(sending, most, err) < 0) return -1;
        struct redis_command command = {.arena = sending->arena};
        add_members(&command, sending->order, item, most);
        if (put(sending, &command, most, err) < 0) return -1;
    }
    return 0;
}

static int put_run(struct sending *sending, const struct redis_item *items, size_t count, struct err *err) {
    if (make_room(sending, (int64_t)count, err) < 0) return -1;
    struct redis_command command = {.arena = sending->arena};
    switch (items->act) {
    case REDIS_ACT_UNLINK:
        redis_word(&command, "UNLINK");
        add_keys(&command, items, count);
        break;
    case REDIS_ACT_UNLINK_IF: add_unlink_if(&command, sending->order, items, count); break;
    case REDIS_ACT_MEMBERS: return put_members(sending, items, err);
    case REDIS_ACT_WRITE: redis_add_write(&command, sending->order, items, sending->store->base.settings.pseudonym_key); break;
    }
    return put(sending, &command, (int64_t)count, err);
}

int redis_destroy(struct redis_store *store, const struct redis_order *order, const struct redis_item *items, size_t n_items, int64_t *ret_gone,
                  struct err *err) {
    if (redis_connect(store, err) < 0) return -1;
    struct sending sending = {.store = store, .order = order, .arena = arena_new()};
    int result = 0;
    for (size_t at = 0, count; result == 0 && at < n_items; at += count) {
        count = run_length(items, n_items, at);
        result = put_run(&sending, items + at, count, err);
    }
    if (result == 0) result = receive_all(&sending, err);
    arena_free(sending.arena);
    if (result == 0 && sending.refused && sending.gone == 0) result = -1;
    if (result == 0) *ret_gone = sending.gone;
    return result;
}
