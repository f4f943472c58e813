#include "store/redis_internal.h"

#include "base/time.h"
#include "store/strategy.h"

#include <string.h>

/* KEYS[1]; most fields -> {type}, {'many'} or {'hash', field, value, …}: a hash of more fields than the schedule lists is
 * undecidable however large it is. */
const char REDIS_HASH_LOOK[] =
    "local t = redis.call('TYPE', KEYS[1]).ok\n"
    "if t ~= 'hash' then return {t} end\n"
    "if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return {'many'} end\n"
    "local all = redis.call('HGETALL', KEYS[1])\n"
    "table.insert(all, 1, 'hash')\n"
    "return all";

/* KEYS[1]; number of fields there are, number to compare, each with '' or '=' and its value; number to set, each with its
 * value; the fields to delete -> 1 if the hash was still the same, else 0. Set comes before delete: the key must not vanish
 * in between, or it would come back without its time to live. */
static const char WRITE_IF[] =
    "local key = KEYS[1]\n"
    "local have = redis.pcall('HLEN', key)\n"
    "if type(have) == 'table' then return string.sub(have.err, 1, 9) == 'WRONGTYPE' and 0 or have end\n"
    "if have ~= tonumber(ARGV[1]) then return 0 end\n"
    "local at = 3\n"
    "for i = 1, tonumber(ARGV[2]) do\n"
    "  local now = redis.call('HGET', key, ARGV[at])\n"
    "  if (now and '=' .. now or '') ~= ARGV[at + 1] then return 0 end\n"
    "  at = at + 2\n"
    "end\n"
    "local sets = tonumber(ARGV[at])\n"
    "at = at + 1\n"
    "for i = 1, sets do\n"
    "  redis.call('HSET', key, ARGV[at], ARGV[at + 1])\n"
    "  at = at + 2\n"
    "end\n"
    "for i = at, #ARGV do redis.call('HDEL', key, ARGV[i]) end\n"
    "return 1";

static bool is_anchor_field(const struct redis_bound *bound, const char *name) {
    if (bound->since.kind == REDIS_ANCHOR_FIELD && text_equal(bound->since.field, name)) return true;
    for (size_t i = 0; i < bound->target->n_ends; i++) {
        if (bound->ends[i].kind == REDIS_ANCHOR_FIELD && text_equal(bound->ends[i].field, name)) return true;
    }
    return text_equal(bound->target->marker, name);
}

size_t redis_most_fields(const struct redis_bound *bound) { return bound->target->n_columns + 2 + bound->target->n_ends; }

static bool is_listed(const struct redis_bound *bound, const redisReply *field) {
    if (field->type != REDIS_REPLY_STRING || memchr(field->str, '\0', field->len)) return false;
    if (is_anchor_field(bound, field->str)) return true;
    for (size_t i = 0; i < bound->target->n_columns; i++) {
        if (text_equal(bound->target->columns[i].path, field->str)) return true;
    }
    return false;
}

enum redis_hash redis_hash_kind(const struct redis_bound *bound, const redisReply *look) {
    const char *type = look->element[0]->str;
    if (text_equal(type, "none")) return REDIS_HASH_GONE;
    if (text_equal(type, "many")) return REDIS_HASH_UNLISTED;
    if (!text_equal(type, "hash")) return REDIS_HASH_OTHER_TYPE;
    for (size_t i = 1; i + 1 < look->elements; i += 2) {
        if (!is_listed(bound, look->element[i])) return REDIS_HASH_UNLISTED;
    }
    return REDIS_HASH_WHOLE;
}

struct redis_value redis_hash_field(const redisReply *look, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 1; i + 1 < look->elements; i += 2) {
        const redisReply *field = look->element[i], *value = look->element[i + 1];
        if (field->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING || field->len != length) continue;
        if (memcmp(field->str, name, length) == 0) return (struct redis_value){.bytes = value->str, .length = value->len};
    }
    return (struct redis_value){0};
}

/* Text as the strategies read it. False: the value holds a NUL byte and is no text of any kind. */
static bool as_text(const struct redis_value *value) { return !value->bytes || !memchr(value->bytes, '\0', value->length); }

static bool column_done(const struct column *column, const struct redis_value *value) {
    if (column->strategy == STRATEGY_AS_IS) return true;
    return as_text(value) && strategy_done(column, value->bytes);
}

bool redis_is_anonymized(const struct redis_bound *bound, const redisReply *look) {
    const struct target *target = bound->target;
    if (target->marker) return redis_hash_field(look, target->marker).length > 0;
    for (size_t i = 0; i < target->n_columns; i++) {
        const struct redis_value value = redis_hash_field(look, target->columns[i].path);
        if (!column_done(&target->columns[i], &value)) return false;
    }
    return true;
}

/* The values that are compared when the key is written: those of the anchors, then those of the columns. */
static const char *compared_name(const struct redis_order *order, size_t number) {
    return number < order->n_fields ? order->fields[number] : order->order->target->columns[number - order->n_fields].path;
}

bool redis_hash_due(struct arena *arena, const struct redis_order *order, const struct redis_owner *owner, const redisReply *look, struct redis_item *item) {
    const struct target *target = order->order->target;
    if (redis_hash_kind(order->bound, look) != REDIS_HASH_WHOLE || redis_is_anonymized(order->bound, look)) return false;
    item->act = REDIS_ACT_WRITE;
    item->n_values = order->n_fields + target->n_columns;
    item->n_present = (look->elements - 1) / 2;
    item->values = ARENA_ARRAY(arena, struct redis_value, item->n_values);
    for (size_t i = 0; i < item->n_values; i++) {
        const struct redis_value value = redis_hash_field(look, compared_name(order, i));
        if (!value.bytes) continue;
        char *bytes = arena_alloc(arena, value.length + 1);
        memcpy(bytes, value.bytes, value.length);
        item->values[i] = (struct redis_value){.bytes = bytes, .length = value.length};
    }
    return redis_key_due(order, owner, item->values, &item->anchor_us);
}

/* --- the writing --------------------------------------------------------------------------------------------------- */

static void add_compared(struct redis_command *command, const struct redis_order *order, const struct redis_item *item) {
    redis_word_number(command, (int64_t)item->n_present);
    redis_word_number(command, (int64_t)item->n_values);
    for (size_t i = 0; i < item->n_values; i++) {
        redis_word(command, compared_name(order, i));
        redis_word_was(command, &item->values[i]);
    }
}

void redis_add_write(struct redis_command *command, const struct redis_order *order, const struct redis_item *item, const unsigned char *key) {
    const struct target *target = order->order->target;
    const char **set = ARENA_ARRAY(command->arena, const char *, target->n_columns + 1), **news = ARENA_ARRAY(command->arena, const char *, target->n_columns + 1);
    const char **gone = ARENA_ARRAY(command->arena, const char *, target->n_columns);
    size_t n_set = 0, n_gone = 0;
    for (size_t i = 0; i < target->n_columns; i++) {
        const struct column *column = &target->columns[i];
        const struct redis_value *value = &item->values[order->n_fields + i];
        if (column_done(column, value)) continue;
        const char *new = as_text(value) ? strategy_apply(command->arena, column, key, value->bytes) : NULL;
        if (!new) {
            gone[n_gone++] = column->path;
            continue;
        }
        news[n_set] = new;
        set[n_set++] = column->path;
    }
    if (target->marker) {
        news[n_set] = arena_strdup(command->arena, time_format(time_now_us()).text);
        set[n_set++] = target->marker;
    }
    redis_words_eval(command, WRITE_IF, 1);
    redis_word_n(command, item->key, item->key_length);
    add_compared(command, order, item);
    redis_word_number(command, (int64_t)n_set);
    for (size_t i = 0; i < n_set; i++) {
        redis_word(command, set[i]);
        redis_word(command, news[i]);
    }
    for (size_t i = 0; i < n_gone; i++) redis_word(command, gone[i]);
}
