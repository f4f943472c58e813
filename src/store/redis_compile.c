#include "store/redis_internal.h"

#include "base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- orders -------------------------------------------------------------------------------------------------------- */

enum { SHORT_LIST = 16 };

/* Each key asks for its tenant: a million searches through a long list are most of a sweep. */
static void index_tenants(struct arena *arena, struct redis_scope *to) {
    const struct scope *scope = to->scope;
    if (scope->n_tenants <= SHORT_LIST || scope->n_tenants >= UINT32_MAX) return;
    for (to->n_slots = 64; to->n_slots < 2 * scope->n_tenants;) to->n_slots *= 2;
    uint32_t *slots = ARENA_ARRAY(arena, uint32_t, to->n_slots);
    for (size_t i = 0; i < scope->n_tenants; i++) {
        size_t at = text_hash(scope->tenants[i].id, strlen(scope->tenants[i].id)) & (to->n_slots - 1);
        while (slots[at]) at = (at + 1) & (to->n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    to->slots = slots;
}

int64_t redis_cutoff(const struct redis_scope *scope, const char *tenant) {
    if (!scope->slots) return scope_cutoff(scope->scope, tenant);
    for (size_t at = text_hash(tenant, strlen(tenant)) & (scope->n_slots - 1); scope->slots[at]; at = (at + 1) & (scope->n_slots - 1)) {
        const struct scope_tenant *listed = &scope->scope->tenants[scope->slots[at] - 1];
        if (strcmp(listed->id, tenant) == 0) return listed->cutoff_us;
    }
    return scope->scope->kind == SCOPE_LISTED ? TIME_NEVER : scope->scope->cutoff_us;
}

/* A scope of another target is read in that target's unit, and only for the keys of its pattern. */
static int compile_scope(const struct redis_store *store, struct arena *arena, struct redis_order *to, const struct scope *scope,
                         struct redis_scope *ret_scope) {
    const struct target *of = scope->of ? scope->of : to->order->target;
    *ret_scope = (struct redis_scope){.scope = scope};
    index_tenants(arena, ret_scope);
    if (!text_equal(of->name, to->order->target->name)) ret_scope->other = &store->bound[of->number];
    if (!scope->anchor) return 0;
    if (!redis_anchor_parse(scope->anchor, of->unit, &ret_scope->anchor)) return -1;
    if (ret_scope->anchor.kind != REDIS_ANCHOR_FIELD) return 0;
    for (size_t i = 0; i < to->n_fields; i++) {
        if (text_equal(to->fields[i], ret_scope->anchor.field)) return 0;
    }
    if (to->n_fields == MOST_FIELDS) return -1;
    to->fields[to->n_fields++] = ret_scope->anchor.field;
    return 0;
}

static const char *member_type_of(const struct redis_order *order) {
    /* Under a rule by the tenant's end it is the target's `since` that says what a record is. */
    enum redis_anchor_kind kind = order->order->due.anchor ? order->due.anchor.kind : order->bound->since.kind;
    if (kind == REDIS_ANCHOR_SCORE) return "zset";
    return kind == REDIS_ANCHOR_STREAM ? "stream" : NULL;
}

/* Who asks for anything that is left does not ask for keys that another pattern keeps at least so long: they are that rule's. */
static int compile_any(const struct redis_store *store, struct arena *arena, struct redis_order *to) {
    const struct schedule *schedule = store->base.settings.schedule;
    size_t count = 0;
    to->floors = ARENA_ARRAY(arena, struct redis_scope, schedule->n_targets);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *other = schedule->targets[i];
        if (other->store != store->base.settings.conf || !other->rule->at_least.count || text_equal(other->name, to->order->target->name)) continue;
        struct scope *never = ARENA_NEW(arena, struct scope);
        *never = (struct scope){.kind = SCOPE_REST, .of = other, .anchor = other->since, .anchor_is_since = true, .cutoff_us = TIME_NEVER};
        if (compile_scope(store, arena, to, never, &to->floors[count++]) < 0) return -1;
    }
    to->n_floors = count;
    return 0;
}

static int compile_order(struct redis_store *store, struct arena *arena, const struct order *order, struct redis_order *ret_order, struct err *err) {
    const char *name = store->base.settings.conf->name;
    struct redis_order to = {.order = order, .bound = redis_bound_of(store, order->target)};
    if (!to.bound) return err_set(err, ERR_CONFIG, "store \"%s\": keys \"%s\" have faults; run lapsectl check", name, order->target->name);
    if (to.bound->pattern.has_tenant && !store->tenants && store->base.settings.schedule->has_tenants)
        return err_set(err, ERR_BUG, "store \"%s\": keys \"%s\" were asked for before the tenants were known", name, order->target->name);
    to.before = ARENA_ARRAY(arena, struct redis_scope, order->n_before);
    to.floors = ARENA_ARRAY(arena, struct redis_scope, order->n_floors);
    int failed = compile_scope(store, arena, &to, &order->due, &to.due);
    for (size_t i = 0; i < order->n_before; i++) failed |= compile_scope(store, arena, &to, &order->before[i], &to.before[i]);
    for (size_t i = 0; i < order->n_floors; i++) failed |= compile_scope(store, arena, &to, &order->floors[i], &to.floors[i]);
    to.n_floors = order->n_floors;
    if (order_is_any(order)) failed |= compile_any(store, arena, &to);
    if (failed) return err_set(err, ERR_CONFIG, "store \"%s\": keys \"%s\": a rule names a time that keys do not have", name, order->target->name);
    to.member_type = member_type_of(&to);
    if (order->action == ACTION_ANONYMIZE && !order_is_any(order)) to.look = REDIS_LOOK_HASH;
    else to.look = to.member_type ? REDIS_LOOK_MEMBERS : to.n_fields > 0 ? REDIS_LOOK_FIELDS : REDIS_LOOK_NONE;
    /* Nothing refers to a key, so none is ever blocked. */
    to.out = order->blocked_only;
    *ret_order = to;
    return 0;
}

int redis_compile(struct redis_store *store, struct arena *arena, const struct order *const *orders, size_t n_orders,
                  struct redis_order **ret_orders, struct err *err) {
    struct redis_order *compiled = ARENA_ARRAY(arena, struct redis_order, n_orders);
    for (size_t i = 0; i < n_orders; i++) {
        if (compile_order(store, arena, orders[i], &compiled[i], err) < 0) return -1;
        compiled[i].first = true;
        for (size_t j = 0; j < i; j++) compiled[i].first = compiled[i].first && (compiled[j].bound != compiled[i].bound || compiled[j].out);
    }
    *ret_orders = compiled;
    return 0;
}

/* --- whose a key is ------------------------------------------------------------------------------------------------ */

struct readings {
    const struct redis_store *store;
    const struct redis_order *listing;
    size_t n_listing;
    struct arena *arena;
    const char *known;  /* the one known tenant among the readings */
    const char *first;  /* the first reading that can be an id at all */
    bool ambiguous, any;
    int64_t date_end_us;
};

static bool is_listed(const struct scope *scope, const char *id) {
    const struct scope_tenant key = {.id = id};
    return scope->n_tenants > 0 && bsearch(&key, scope->tenants, scope->n_tenants, sizeof key, scope_tenant_by_id) != NULL;
}

static bool is_known(const struct readings *readings, const char *id) {
    if (readings->store->tenants && tenants_find(readings->store->tenants, id)) return true;
    for (size_t i = 0; i < readings->n_listing; i++) {
        const struct order *order = readings->listing[i].order;
        if (is_listed(&order->due, id)) return true;
        for (size_t j = 0; j < order->n_before; j++) {
            if (is_listed(&order->before[j], id)) return true;
        }
        for (size_t j = 0; j < order->n_floors; j++) {
            if (is_listed(&order->floors[j], id)) return true;
        }
    }
    return false;
}

static void add_reading(void *context, const struct keyfit *fit) {
    struct readings *readings = context;
    /* Of several days that could be meant the latest counts: nothing goes early. */
    if (fit->date_end_us > readings->date_end_us || !readings->any) readings->date_end_us = fit->date_end_us;
    readings->any = true;
    if (fit->tenant_length == 0 || memchr(fit->tenant, '\0', fit->tenant_length)) return;
    const char *id = arena_strndup(readings->arena, fit->tenant, fit->tenant_length);
    if (!readings->first) readings->first = id;
    if (!is_known(readings, id)) return;
    if (readings->known && strcmp(readings->known, id) != 0) readings->ambiguous = true;
    readings->known = id;
}

struct redis_owner redis_owner_of(const struct redis_store *store, struct arena *arena, const struct redis_bound *bound,
                                  const struct redis_order *listing, size_t n_listing, const char *key, size_t length) {
    struct readings readings = {.store = store, .listing = listing, .n_listing = n_listing, .arena = arena};
    enum keymatch match = keypattern_match(&bound->pattern, key, length, add_reading, &readings);
    struct redis_owner owner = {.kind = REDIS_OWNER_OK, .tenant = "", .date_end_us = readings.date_end_us, .key = key, .key_length = length};
    if (match == KEYMATCH_NO) return (struct redis_owner){.kind = REDIS_OWNER_NO_MATCH};
    if (match == KEYMATCH_TOO_MANY_WAYS || readings.ambiguous) return (struct redis_owner){.kind = REDIS_OWNER_AMBIGUOUS};
    if (!bound->pattern.has_tenant) return owner;
    owner.known = readings.known != NULL;
    owner.tenant = readings.known ? readings.known : readings.first;
    /* No reading that could be an id: nothing between the separators, or bytes that no id has. */
    if (!owner.tenant) owner.kind = memchr(key, '\0', length) ? REDIS_OWNER_UNREADABLE : REDIS_OWNER_EMPTY;
    return owner;
}

/* --- what is due --------------------------------------------------------------------------------------------------- */

static bool read_anchor(const struct redis_order *order, const struct redis_anchor *anchor, const struct redis_owner *owner,
                        const struct redis_value *values, int64_t *ret_us) {
    if (anchor->kind == REDIS_ANCHOR_DATE) {
        *ret_us = owner->date_end_us - 1;
        return true;
    }
    if (anchor->kind != REDIS_ANCHOR_FIELD) return false; /* a whole key has no score and no id */
    for (size_t i = 0; i < order->n_fields; i++) {
        if (!text_equal(order->fields[i], anchor->field)) continue;
        return values && values[i].bytes && redis_instant(values[i].bytes, values[i].length, anchor->unit, ret_us);
    }
    return false;
}

static bool scope_holds(const struct redis_order *order, const struct redis_scope *scope, const struct redis_owner *owner,
                        const struct redis_value *values, int64_t *ret_anchor_us) {
    int64_t cutoff_us = redis_cutoff(scope, owner->tenant);
    if (cutoff_us == TIME_NEVER) return false;
    if (!scope->scope->anchor) return cutoff_us == TIME_FOREVER;
    return read_anchor(order, &scope->anchor, owner, values, ret_anchor_us) && *ret_anchor_us < cutoff_us;
}

static void take_latest(void *context, const struct keyfit *fit) {
    int64_t *end_us = context;
    if (fit->date_end_us > *end_us) *end_us = fit->date_end_us;
}

enum fits { FITS_NOT, FITS, FITS_UNCLEAR };

/* Whether a floor of another pattern speaks of this key; *ret_there: the owner as that pattern reads it. */
static enum fits fits_floor(const struct redis_scope *floor, const struct redis_owner *owner, struct redis_owner *ret_there) {
    *ret_there = *owner;
    if (!floor->other) return FITS;
    if (floor->other->pattern.n_parts == 0) return FITS_UNCLEAR; /* it could not be read */
    ret_there->date_end_us = 0;
    enum keymatch match = keypattern_match(&floor->other->pattern, owner->key, owner->key_length, take_latest, &ret_there->date_end_us);
    return match == KEYMATCH_NO ? FITS_NOT : match == KEYMATCH_YES ? FITS : FITS_UNCLEAR;
}

static bool floor_allows(const struct redis_order *order, const struct redis_scope *floor, const struct redis_owner *owner, const struct redis_value *values) {
    struct redis_owner there;
    int64_t anchor_us;
    enum fits fits = fits_floor(floor, owner, &there);
    return fits == FITS_NOT || (fits == FITS && scope_holds(order, floor, &there, values, &anchor_us));
}

bool redis_key_due(const struct redis_order *order, const struct redis_owner *owner, const struct redis_value *values, int64_t *ret_anchor_us) {
    int64_t anchor_us = TIME_FOREVER, other_us;
    if (!scope_holds(order, &order->due, owner, values, &anchor_us)) return false;
    for (size_t i = 0; i < order->order->n_before; i++) {
        if (scope_holds(order, &order->before[i], owner, values, &other_us)) return false;
    }
    for (size_t i = 0; i < order->n_floors; i++) {
        if (!floor_allows(order, &order->floors[i], owner, values)) return false;
    }
    *ret_anchor_us = anchor_us;
    return true;
}

char *redis_score_text(struct arena *arena, int64_t instant_us, enum since_unit unit) {
    int64_t unit_us = unit == UNIT_SECONDS ? TIME_SECOND_US : 1000;
    int64_t whole = instant_us / unit_us, rest = instant_us % unit_us;
    if (rest < 0) rest = -rest;
    const char *sign = instant_us < 0 && whole == 0 ? "-" : "";
    return arena_printf(arena, "%s%" PRId64 ".%0*" PRId64, sign, whole, unit == UNIT_SECONDS ? 6 : 3, rest);
}

int64_t redis_stream_ms(int64_t instant_us) {
    int64_t ms = instant_us / 1000;
    return instant_us > 0 && instant_us % 1000 != 0 ? ms + 1 : ms;
}

/* [lower, upper) in the words of ZRANGEBYSCORE or XRANGE. */
static void range_texts(struct arena *arena, const struct redis_order *order, int64_t lower_us, int64_t upper_us, struct redis_item *item) {
    if (order->bound->since.kind == REDIS_ANCHOR_STREAM || order->due.anchor.kind == REDIS_ANCHOR_STREAM) {
        item->lower = lower_us == TIME_NEVER ? "-" : arena_printf(arena, "%" PRId64 "-0", redis_stream_ms(lower_us));
        item->upper = upper_us == TIME_FOREVER ? "+" : arena_printf(arena, "(%" PRId64 "-0", redis_stream_ms(upper_us));
        return;
    }
    enum since_unit unit = order->order->target->unit;
    item->everything = lower_us == TIME_NEVER && upper_us == TIME_FOREVER;
    /* A score of 0, or below, is no time: it goes with the tenant only. */
    item->lower = item->everything ? "-inf" : lower_us <= 0 ? "(0" : redis_score_text(arena, lower_us, unit);
    item->upper = upper_us == TIME_FOREVER ? "+inf" : arena_printf(arena, "(%s", redis_score_text(arena, upper_us, unit));
}

/* Which members of the key a scope holds: those before the cutoff; all or none where the key as a whole decides. */
static int64_t member_cutoff(const struct redis_order *order, const struct redis_scope *scope, const struct redis_owner *owner) {
    enum redis_anchor_kind kind = scope->anchor.kind, own = text_equal(order->member_type, "stream") ? REDIS_ANCHOR_STREAM : REDIS_ANCHOR_SCORE;
    int64_t anchor_us;
    /* Of two units of one score one is wrong: nothing can be told by it. */
    if (kind == REDIS_ANCHOR_SCORE && scope->anchor.unit != order->order->target->unit) return TIME_NEVER;
    if (kind == own) return redis_cutoff(scope, owner->tenant);
    return scope_holds(order, scope, owner, NULL, &anchor_us) ? TIME_FOREVER : TIME_NEVER;
}

bool redis_members_due(struct arena *arena, const struct redis_order *order, const struct redis_owner *owner, struct redis_item *ret_item) {
    int64_t upper_us = member_cutoff(order, &order->due, owner), lower_us = TIME_NEVER;
    for (size_t i = 0; i < order->order->n_before; i++) {
        int64_t cutoff_us = member_cutoff(order, &order->before[i], owner);
        if (cutoff_us > lower_us) lower_us = cutoff_us;
    }
    for (size_t i = 0; i < order->n_floors; i++) {
        struct redis_owner there;
        enum fits fits = fits_floor(&order->floors[i], owner, &there);
        int64_t cutoff_us = fits == FITS_NOT ? TIME_FOREVER : fits == FITS ? member_cutoff(order, &order->floors[i], &there) : TIME_NEVER;
        if (cutoff_us < upper_us) upper_us = cutoff_us;
    }
    if (upper_us == TIME_NEVER || lower_us >= upper_us) return false;
    bool stream = text_equal(order->member_type, "stream");
    if (upper_us <= 0) return false; /* no instant is that early */
    struct redis_item item = {.act = REDIS_ACT_MEMBERS, .everything = lower_us == TIME_NEVER && upper_us == TIME_FOREVER};
    range_texts(arena, order, lower_us < 0 && stream ? TIME_NEVER : lower_us, upper_us, &item);
    *ret_item = item;
    return true;
}
