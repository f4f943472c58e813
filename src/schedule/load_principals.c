#include "schedule/load.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_NAME_BYTES = 16384 };

/* A user's name, or its number. */
static bool find_user(const struct loader *loader, const char *user, uint32_t *ret_uid) {
    if (user[strspn(user, "0123456789")] == '\0' && strlen(user) < 10) {
        *ret_uid = (uint32_t)strtoul(user, NULL, 10);
        return true;
    }
    struct passwd entry, *found = NULL;
    char *room = arena_alloc(loader->arena, MOST_NAME_BYTES);
    if (getpwnam_r(user, &entry, room, MOST_NAME_BYTES, &found) || !found) return false;
    *ret_uid = entry.pw_uid;
    return true;
}

static unsigned load_may(const struct loader *loader, const config_setting_t *group) {
    static const struct { const char *name; unsigned bit; } known[] = {
        {"hold", MAY_HOLD}, {"release", MAY_RELEASE}, {"pause", MAY_PAUSE}, {"resume", MAY_RESUME}, {"approve", MAY_APPROVE}};
    size_t count;
    const struct load_text *texts = load_texts(loader, group, "may", &count);
    unsigned may = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned bit = 0;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (!strcmp(texts[i].text, known[k].name)) bit = known[k].bit;
        if (!bit)
            load_fault(loader, texts[i].setting, "may = \"%s\" is unknown; write \"hold\", \"release\", \"pause\", \"resume\" or \"approve\"", texts[i].text);
        may |= bit;
    }
    if (!config_setting_get_member(group, "may"))
        load_fault(loader, group, "may is missing; write what this user may ask for, such as may = [ \"hold\", \"release\" ]");
    return may;
}

static void load_principal(struct loader *loader, const config_setting_t *group, struct principal *to) {
    load_known(loader, group, (const char *const[]){"user", "may", NULL});
    const char *user = load_required(loader, group, "user", "user = \"legal\"");
    if (user && !find_user(loader, user, &to->uid))
        load_fault(loader, config_setting_get_member(group, "user"), "user = \"%s\" is no user of this machine; write a user's name or number", user);
    to->may = load_may(loader, group);
}

void load_principals(struct loader *loader, const config_setting_t *root) {
    struct settings *settings = &loader->schedule->settings;
    const config_setting_t *list = config_setting_get_member(root, "principals");
    if (!list) return;
    if (!config_setting_is_list(list)) {
        load_fault(loader, list, "principals is not a list; write principals = ( { user = \"legal\"; may = [ \"hold\", \"release\" ]; } )");
        return;
    }
    size_t count = (size_t)config_setting_length(list);
    struct principal *principals = ARENA_ARRAY(loader->arena, struct principal, count);
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
        if (config_setting_is_group(group)) load_principal(loader, group, &principals[i]);
        else load_fault(loader, group, "a principal is not a group; write { user = \"legal\"; may = [ \"hold\", \"release\" ]; }");
    }
    settings->principals = principals;
    settings->n_principals = count;
}
