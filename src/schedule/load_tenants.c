#include "schedule/lexer.h"
#include "schedule/load.h"

#include <string.h>

int load_tenant_end(const struct schedule *schedule, const char *name) {
    for (size_t i = 0; i < schedule->tenants.n_ends; i++)
        if (!strcmp(schedule->tenants.ends[i], name)) return (int)i;
    return -1;
}

static void load_ends(struct loader *loader, const config_setting_t *group) {
    struct tenants_conf *tenants = &loader->schedule->tenants;
    size_t count;
    const struct load_text *ends = load_texts(loader, group, "ends", &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = ends[i].text;
        if (!load_is_end_name(name)) load_fault(loader, ends[i].setting, "the end \"%s\" is not a name; write it in a-z, 0-9 and _", name);
        else if (!strcmp(name, "tenant") || !strcmp(name, "parent") || !strcmp(name, "forever") || !strcmp(name, "until"))
            load_fault(loader, ends[i].setting, "an end cannot be called \"%s\", which means something else; give it another name", name);
        else if (load_tenant_end(loader->schedule, name) >= 0) load_fault(loader, ends[i].setting, "the end \"%s\" stands twice; leave one", name);
        else if (tenants->n_ends == MOST_ENDS) load_fault(loader, ends[i].setting, "there are more than %d ends; take some out", MOST_ENDS);
        else tenants->ends[tenants->n_ends++] = name;
    }
}

static void load_sql(struct loader *loader, const config_setting_t *group, struct tenants_conf *tenants) {
    struct err err;
    tenants->query = load_string(loader, group, "query");
    if (tenants->query && lexer_check_query(tenants->query, &err)) load_fault(loader, config_setting_get_member(group, "query"), "the query %s", err.text);
    tenants->store = load_store(loader, group, STORE_POSTGRESQL);
}

static void load_pipeline(struct loader *loader, const config_setting_t *group, struct tenants_conf *tenants) {
    struct err err;
    tenants->collection = load_name(loader, group, "collection");
    tenants->pipeline = load_string(loader, group, "pipeline");
    if (tenants->pipeline && lexer_check_pipeline(tenants->pipeline, &err))
        load_fault(loader, config_setting_get_member(group, "pipeline"), "the pipeline %s", err.text);
    tenants->store = load_store(loader, group, STORE_MONGODB);
}

static void load_query(struct loader *loader, const config_setting_t *group) {
    struct tenants_conf *tenants = &loader->schedule->tenants;
    const config_setting_t *query = config_setting_get_member(group, "query"), *collection = config_setting_get_member(group, "collection"),
                           *pipeline = config_setting_get_member(group, "pipeline");
    if (query && (collection || pipeline))
        load_fault(loader, query, "both a query and a %s are given; write query for PostgreSQL, or collection and pipeline for MongoDB", collection ? "collection" : "pipeline");
    else if (query) load_sql(loader, group, tenants);
    else if (collection && pipeline) load_pipeline(loader, group, tenants);
    else if (collection || pipeline)
        load_fault(loader, group, "collection and pipeline go together, and %s is missing; write both", collection ? "pipeline" : "collection");
    else load_fault(loader, group, "query is missing; write query = \"SELECT id AS tenant, … FROM …\"; or collection and pipeline for MongoDB");
}

static void load_personal(struct loader *loader, const config_setting_t *group) {
    const config_setting_t *setting = config_setting_get_member(group, "personal");
    if (!setting) return;
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL) load_fault(loader, setting, "personal is neither true nor false; write personal = true");
    else loader->schedule->tenants.personal = config_setting_get_bool(setting);
}

void load_tenants(struct loader *loader, const config_setting_t *root) {
    const config_setting_t *group = load_group(loader, root, "tenants");
    if (!group) return;
    struct tenants_conf *tenants = &loader->schedule->tenants;
    loader->schedule->has_tenants = true;
    tenants->place = load_place(loader, group);
    loader->subject = "tenants: ";
    load_known(loader, group, (const char *const[]){"store", "query", "collection", "pipeline", "ends", "personal", NULL});
    load_personal(loader, group);
    load_ends(loader, group);
    load_query(loader, group);
    loader->subject = "";
}
