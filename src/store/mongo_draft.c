/* A first schedule from what documents look like: every collection whose sampled documents name something like a tenant, with the
 * dates they hold, as commented rules. */
#include "store/mongo_internal.h"

#include <string.h>

enum { SAMPLE = 100, MOST_DATES = 16 };

static const char *const tenant_names[] = {"tenantId", "tenant_id", "tenant", "customerId", "customer_id", "customer", "accountId", "account_id", "account",
                                           "organizationId", "organization_id", "organisationId", "orgId", "org_id", "companyId", "company_id", "workspaceId", "teamId", "clientId"};
/* The likeliest name of a document's birth first. */
static const char *const since_names[] = {"createdAt", "created_at", "created", "insertedAt", "occurredAt", "executedAt", "issuedAt", "loggedAt", "timestamp", "date"};

struct looking {
    struct arena *arena;
    size_t best_tenant;         /* index into tenant_names; their number: none */
    const char *dates[MOST_DATES];
    size_t n_dates;
};

enum { TENANT_NAMES = sizeof tenant_names / sizeof *tenant_names };

static void note_date(struct looking *looking, const char *name) {
    for (size_t i = 0; i < looking->n_dates; i++)
        if (!strcmp(looking->dates[i], name)) return;
    if (looking->n_dates < MOST_DATES) looking->dates[looking->n_dates++] = arena_strdup(looking->arena, name);
}

static void look_at(struct looking *looking, const bson_t *document) {
    bson_iter_t iter;
    if (!bson_iter_init(&iter, document)) return;
    while (bson_iter_next(&iter)) {
        for (size_t i = 0; i < looking->best_tenant; i++)
            if (!strcmp(bson_iter_key(&iter), tenant_names[i])) looking->best_tenant = i;
        if (BSON_ITER_HOLDS_DATE_TIME(&iter)) note_date(looking, bson_iter_key(&iter));
    }
}

static const char *since_of(const struct looking *looking) {
    for (size_t i = 0; i < sizeof since_names / sizeof *since_names; i++)
        for (size_t j = 0; j < looking->n_dates; j++)
            if (!strcmp(since_names[i], looking->dates[j])) return looking->dates[j];
    return NULL;
}

static void print_target(const struct looking *looking, const char *name, struct buf *to) {
    const char *since = since_of(looking);
    buf_printf(to, "  # { data = \"%s\"; keep = \"…\"; basis = \"…\";\n  #   targets = ( { collection = \"%s\"; tenant = \"%s\";", name, name,
               tenant_names[looking->best_tenant]);
    if (since) buf_printf(to, " since = \"%s\";", since);
    buf_add(to, " } ); },\n");
    const char *before = "  #   other times: ";
    for (size_t i = 0; i < looking->n_dates; i++)
        if (looking->dates[i] != since) {
            buf_printf(to, "%s%s", before, looking->dates[i]);
            before = ", ";
        }
    if (*before == ',') buf_add_char(to, '\n');
}

static int draft_collection(struct mongo_store *store, struct arena *arena, const char *name, struct buf *to, struct buf *rest, struct err *err) {
    struct looking looking = {.arena = arena, .best_tenant = TENANT_NAMES};
    MONGO_BSON everything = bson_new();
    MONGO_CURSOR cursor = NULL;
    const struct mongo_find find = {.filter = everything, .limit = SAMPLE};
    if (mongo_find(store, NULL, name, &find, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        if (mongo_next(store, cursor, "read a sample", &document, err)) return -1;
        if (!document) break;
        look_at(&looking, document);
    }
    if (looking.best_tenant < TENANT_NAMES) print_target(&looking, name, to);
    else buf_printf(rest, "  #   %s\n", name);
    return 0;
}

int mongo_draft(struct store *base, struct buf *to, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    struct arena *arena = arena_new();
    struct mongo_catalog catalog = {0};
    __attribute__((cleanup(buf_free))) struct buf rest = {0};
    int result = mongo_connect(store, NULL, err) || mongo_list(store, arena, &catalog, err) ? -1 : 0;
    buf_add(to, "  # Every collection that seems to belong to a tenant:\n");
    for (size_t i = 0; !result && i < catalog.count; i++)
        if (mongo_is_plain(&catalog.entries[i])) result = draft_collection(store, arena, catalog.entries[i].name, to, &rest, err);
    if (rest.length) buf_printf(to, "  # Without a tenant's field (tenant = \"none\" if they hold nobody's data):\n%s", buf_text(&rest));
    arena_free(arena);
    return result;
}
