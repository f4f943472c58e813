#include "base/text.h"
#include "schedule/load.h"

#include <string.h>

/* What is exempt cannot be a target too: one of the two is a mistake. */
static void check_no_target(const struct loader *loader, const config_setting_t *group, const struct exemption *exemption) {
    const struct schedule *schedule = loader->schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (target->store == exemption->store && target->kind == exemption->kind && !strcmp(target->name, exemption->name))
            load_fault(loader, group, "exempt: \"%s\" is a target of \"%s\", which carries out its retention; leave one of the two out",
                       exemption->name, target->rule->data);
    }
}

static void load_exemption(const struct loader *loader, const config_setting_t *group, struct exemption *to) {
    static const struct { const char *name; enum store_kind store; } kinds[] = {
        [TARGET_TABLE] = {"table", STORE_POSTGRESQL}, [TARGET_COLLECTION] = {"collection", STORE_MONGODB}, [TARGET_KEYS] = {"keys", STORE_REDIS}};
    load_known(loader, group, (const char *const[]){"store", "table", "collection", "keys", "why", NULL});
    to->place = load_place(loader, group);
    to->why = load_required(loader, group, "why", "why = \"REASON\", which tells an auditor why no rule is needed");
    size_t named = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!config_setting_get_member(group, kinds[i].name)) continue;
        named++;
        to->kind = (enum target_kind)i;
        to->name = load_string(loader, group, kinds[i].name);
        to->store = load_store(loader, group, kinds[i].store);
    }
    if (named != 1) load_fault(loader, group, "exempt: name one place; write { table = \"NAME\"; why = \"REASON\"; }, or collection, or keys");
    if (to->name && to->store) check_no_target(loader, group, to);
}

void load_exempt(struct loader *loader, const config_setting_t *root) {
    const config_setting_t *list = config_setting_get_member(root, "exempt");
    if (!list) return;
    if (!config_setting_is_list(list)) {
        load_fault(loader, list, "exempt is not a list; write exempt = ( { table = \"NAME\"; why = \"REASON\"; } )");
        return;
    }
    size_t count = (size_t)config_setting_length(list);
    struct exemption *items = ARENA_ARRAY(loader->arena, struct exemption, count);
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
        if (config_setting_is_group(group)) load_exemption(loader, group, &items[i]);
        else load_fault(loader, group, "an exemption is not a group; write { table = \"NAME\"; why = \"REASON\"; }");
    }
    loader->schedule->exemptions = items;
    loader->schedule->n_exemptions = count;
}
